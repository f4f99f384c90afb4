"""How good an architecture is, told cheaply: scores by which a search ranks its candidates."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from atb.models import Architecture

if TYPE_CHECKING:
    from atb.data.corpus import SentencePairs, TokenShards
    from atb.models.superplm import SuperPLM
    from atb.training import Teacher

#: Held-out sequences that a search scores on by default: about 7,000 tokens, seconds a candidate.
SEQUENCES = 64


class Proxy(Protocol):
    """Scores architectures; the same ones always get the same scores."""

    @property
    def name(self) -> str:
        """What it measures, in a word."""

    @property
    def key(self) -> str:
        """A short hash of everything that a score depends on beside the architecture."""

    def score(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Scores in the order given, higher is better; None where scoring failed."""


@runtime_checkable
class RoughProxy(Proxy, Protocol):
    """A proxy that can tell by a small part of its data what cannot become a finalist."""

    @property
    def rough_key(self) -> str:
        """What `key` is, of rough scores."""

    def score_roughly(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Rough scores in the order given; they lie near a line with the whole ones."""


@runtime_checkable
class DescribedProxy(Proxy, Protocol):
    """A proxy whose name does not tell all that a person must know of its scores."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What scores rest on, in words: `teacher`, `text`, `task`."""


class ExactProxy:
    """Answers at once with a known formula; search is tested on it."""

    name = "exact"

    def __init__(self, formula: Callable[[Architecture], float] | None = None) -> None:
        """By default wide and deep are good, with diminishing returns."""
        self._formula = formula or _diminishing
        self.key = "exact"
        self.calls = 0

    def score(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Scores of the formula."""
        self.calls += len(architectures)
        return [self._formula(architecture) for architecture in architectures]


class ExactRoughProxy(ExactProxy):
    """The same with rough scores, which miss half the score and are off by a known wave."""

    rough_key = "exact-rough"

    def __init__(self, formula: Callable[[Architecture], float] | None = None) -> None:
        super().__init__(formula)
        self.rough_calls = 0

    def score_roughly(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Half the score, plus or minus a hundredth."""
        self.rough_calls += len(architectures)
        return [self._formula(a) / 2 + 0.01 * math.sin(a.parameters()) for a in architectures]


def _diminishing(a: Architecture) -> float:
    return (
        math.log(a.layers)
        + 1.5 * math.log(a.hidden)
        + 0.5 * math.log(a.qkv)
        + 0.4 * math.log(a.feed_forward)
    )


#: Sums that losses are made of, over a small part of the data (rough) or over the rest.
Sums = Callable[[Architecture, bool], "npt.NDArray[np.float64]"]


class Losses:
    """Minus losses; a rough score that is known already is a part of the whole one."""

    def __init__(
        self,
        name: str,
        key: str,
        sums: Sums,
        loss_of: Callable[[npt.NDArray[np.float64]], float],
        facts: Mapping[str, str],
    ) -> None:
        self.name, self.key, self.rough_key, self.facts = name, key, f"{key}-rough", facts
        self._sums, self._loss_of = sums, loss_of
        self._rough: dict[Architecture, npt.NDArray[np.float64]] = {}

    def score(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Minus the losses."""
        return [self._finite(a, rough=False) for a in architectures]

    def score_roughly(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Minus the losses on an eighth of the sequences or rows."""
        return [self._finite(a, rough=True) for a in architectures]

    def _finite(self, architecture: Architecture, *, rough: bool) -> float | None:
        try:
            if architecture not in self._rough:
                self._rough[architecture] = self._sums(architecture, True)
            sums = self._rough[architecture]
            loss = self._loss_of(sums if rough else sums + self._sums(architecture, False))
        except (RuntimeError, MemoryError):  # torch out of memory is a RuntimeError
            return None
        return 0.0 - loss if math.isfinite(loss) else None


class _HeldOutProxy(Losses):
    """Minus the loss of a slice of a SuperPLM on held-out text, without any training."""

    _loss: Literal["distillation", "mlm"]

    def __init__(
        self,
        superplm: SuperPLM,
        text: TokenShards | None = None,
        *,
        text_description: str = "",
        teacher: Teacher | None = None,
        precision: str = "fp32",
    ) -> None:
        """Prepare the text once for all candidates.

        Args:
            superplm: Whose slices are scored.
            text: Held-out text; part of the shipped sample by default.
            text_description: Words for the text in results and cards.
            teacher: For distillation; see `HeldOut`.
            precision: In which slices run; the teacher does in float32.

        Raises:
            InputError: The SuperPLM lacks the head that the proxy needs, or the text or the teacher
                is none for it.
        """
        from atb.search.scoring.int8_slices import as_deployed
        from atb.training.one_shot import HeldOut, held_out_text

        if text is None:
            text, text_description = held_out_text(superplm, limit=SEQUENCES), "the shipped sample"
        judge = HeldOut(as_deployed(superplm, precision), text, self._loss, teacher=teacher)
        taught_by = "" if judge.teacher is None else module_sha256(judge.teacher.encoder)
        parts = [self._loss, superplm_sha256(superplm), text.sha256, taught_by]
        told = {
            "teacher": judge.teacher_description,
            "text": text_description or f"{len(text):,} sequences",
        }
        super().__init__(
            self._loss,
            proxy_key(parts, precision=precision),
            lambda architecture, rough: judge.sums(architecture, rough=rough),
            lambda sums: judge.loss_of(sums.tolist()),
            {name: words for name, words in told.items() if words},
        )


class DistillationProxy(_HeldOutProxy):
    """How near a slice comes to its teacher's last hidden states."""

    _loss = "distillation"


class MlmProxy(_HeldOutProxy):
    """How well a slice predicts masked words."""

    _loss = "mlm"


class AgreementProxy:
    """How well a slice keeps its teacher's ranking of sentence pairs; see `AgreementScorer`."""

    name = "agreement"

    def __init__(
        self,
        superplm: SuperPLM,
        pairs: SentencePairs | None = None,
        *,
        teacher: Teacher | None = None,
        precision: str = "fp32",
    ) -> None:
        """Prepare the sentences once for all candidates.

        Args:
            superplm: Whose slices are scored.
            pairs: The shipped ones by default.
            teacher: See `AgreementScorer`.
            precision: In which slices run; the teacher does in float32.

        Raises:
            InputError: The SuperPLM has no projection, or the teacher is none for it.
        """
        from atb.data.tokenizer import read_vocabulary, vocabulary_of
        from atb.search.scoring.int8_slices import as_deployed
        from atb.training.one_shot import AgreementScorer

        folder = superplm.folder
        vocabulary = read_vocabulary() if folder is None else vocabulary_of(folder)
        deployed = as_deployed(superplm, precision)
        self._scorer = AgreementScorer(deployed, vocabulary, pairs, teacher=teacher)
        taught_by = (
            "" if self._scorer.teacher is None else module_sha256(self._scorer.teacher.encoder)
        )
        parts = [self.name, superplm_sha256(superplm), self._scorer.sha256, taught_by]
        self.key = proxy_key(parts, precision=precision)
        self.rough_key = f"{self.key}-rough"
        self.facts = {
            "teacher": self._scorer.teacher_description,
            "text": f"{len(self._scorer.pairs):,} of {self._scorer.pairs.name}",
        }
        self._rough: dict[Architecture, npt.NDArray[np.float32]] = {}

    def score(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Spearman's correlation over all pairs."""
        return [self._ranking(a, rough=False) for a in architectures]

    def score_roughly(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """The same over a fourth of the pairs."""
        return [self._ranking(a, rough=True) for a in architectures]

    def _ranking(self, architecture: Architecture, *, rough: bool) -> float | None:
        try:
            if architecture not in self._rough:
                self._rough[architecture] = self._scorer.cosines(architecture, rough=True)
            cosines = self._rough[architecture]
            rest = None if rough else self._scorer.cosines(architecture, rough=False)
        except (RuntimeError, MemoryError):  # torch out of memory is a RuntimeError
            return None
        ranking = self._scorer.ranking(cosines, rest)
        return ranking if math.isfinite(ranking) else None


#: Names that `make_proxy` knows; the default is what the SuperPLM allows.
ProxyName = Literal["agreement", "distillation", "mlm", "task", "finetune"]


def proxy_key(parts: Sequence[str], *, precision: str) -> str:
    """A short hash of what scores depend on, and of the precision in which slices run."""
    in_other = () if precision == "fp32" else (precision,)
    return hashlib.sha256(":".join([*parts, *in_other]).encode()).hexdigest()[:16]


def superplm_sha256(superplm: SuperPLM) -> str:
    """Hash of the weights of a SuperPLM, and of which layers its slices take."""
    weights = module_sha256(superplm)
    if superplm.slice_layers == "bottom":  # as before there was a choice
        return weights
    return hashlib.sha256(f"{weights}:{superplm.slice_layers}".encode()).hexdigest()


def module_sha256(module: object) -> str:
    """Hash of all parameters of a torch module, by name."""
    import torch

    assert isinstance(module, torch.nn.Module)
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
