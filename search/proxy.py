"""How good an architecture is, told cheaply: scores by which a search ranks its candidates."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models.architecture import Architecture

if TYPE_CHECKING:
    from atb.data.shards import TokenShards
    from atb.models.superplm import SuperPLM
    from atb.training.teacher import Teacher

__all__ = [
    "DistillationProxy",
    "ExactProxy",
    "ExactRoughProxy",
    "MlmProxy",
    "Proxy",
    "ProxyName",
    "RoughProxy",
    "TaskProxy",
    "make_proxy",
    "superplm_sha256",
]

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
    """A proxy that can tell by a small part of its data who is hopeless."""

    @property
    def rough_key(self) -> str:
        """What `key` is, of rough scores."""

    def score_roughly(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Rough scores in the order given; they lie near a line with the whole ones."""


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


class _Losses:
    """Minus losses; a rough score that is known already is a part of the whole one."""

    def __init__(
        self, name: str, key: str, sums: Sums, loss_of: Callable[[npt.NDArray[np.float64]], float]
    ) -> None:
        self.name, self.key, self.rough_key = name, key, f"{key}-rough"
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


class _HeldOutProxy(_Losses):
    """Minus the loss of a slice of a SuperPLM on held-out text, without any training."""

    _loss: Literal["distillation", "mlm"]

    def __init__(
        self,
        superplm: SuperPLM,
        text: TokenShards | None = None,
        *,
        teacher: Teacher | None = None,
        precision: str = "fp32",
    ) -> None:
        """Prepare the text once for all candidates.

        Args:
            superplm: Whose slices are scored.
            text: Held-out text; part of the shipped sample by default.
            teacher: For distillation; the whole SuperPLM by default.
            precision: In which slices run; the teacher does in float32.

        Raises:
            InputError: The SuperPLM lacks the head that the proxy needs.
        """
        from atb.data.samples import held_out
        from atb.search.int8_slices import as_deployed
        from atb.training.evaluation import HeldOut

        used = text or held_out(limit=SEQUENCES)
        if used.vocabulary_size > superplm.config.vocab_size:
            raise InputError(
                f"The held-out text has a vocabulary of {used.vocabulary_size} and the SuperPLM of "
                f"{superplm.config.vocab_size}: prepare the text with the SuperPLM's vocabulary."
            )
        judge = HeldOut(as_deployed(superplm, precision), used, self._loss, teacher=teacher)
        taught_by = "" if teacher is None else module_sha256(teacher.encoder)
        parts = [self._loss, superplm_sha256(superplm), used.sha256, taught_by]
        super().__init__(
            self._loss,
            _key(parts, precision=precision),
            lambda architecture, rough: judge.sums(architecture, rough=rough),
            lambda sums: judge.loss_of(sums.tolist()),
        )


class DistillationProxy(_HeldOutProxy):
    """How near a slice comes to the teacher's last hidden states."""

    _loss = "distillation"


class MlmProxy(_HeldOutProxy):
    """How well a slice predicts masked words."""

    _loss = "mlm"


class TaskProxy(_Losses):
    """How well a slice does tasks after elastic fine-tuning: minus the mean of its losses.

    Each task has a SuperPLM of its own, made by `atb superplm finetune` from the one that is
    searched; slices are scored on rows that none of them has learnt from.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        bf16: bool = False,
        precision: str = "fp32",
        sequence_length: int | None = None,
    ) -> None:
        """Load the SuperPLMs and their rows.

        Args:
            folders: What elastic fine-tuning made.
            bf16: Whether matrix products run in bfloat16.
            precision: In which slices run.
            sequence_length: Tokens to which rows are cut, where that is less than what the SuperPLM
                was fine-tuned with.

        Raises:
            InputError: None is given, the rows are gone, or it is a task without classes or numbers
                to compare by loss (questions).
        """
        from atb.models.superplm import SuperPLM
        from atb.search.int8_slices import as_deployed
        from atb.training.elastic import elastic_scorer

        if not folders:
            raise InputError("The proxy `task` needs folders that `atb superplm finetune` made.")
        superplms = [SuperPLM.load(folder) for folder in folders]
        scorers = [
            elastic_scorer(
                as_deployed(superplm, precision), folder, bf16=bf16, sequence_length=sequence_length
            )
            for superplm, folder in zip(superplms, folders, strict=True)
        ]
        for superplm, folder in zip(superplms, folders, strict=True):
            if superplm.task_head is None or superplm.task_head[0] != "classification":
                raise InputError(f"{folder} answers questions: give tasks of GLUE.")

        both = [scorer.parts() for scorer in scorers]

        def sums(architecture: Architecture, rough: bool) -> npt.NDArray[np.float64]:
            """Of each task the sum of losses and the rows: [2 * tasks]."""
            found: list[float] = []
            for first, rest in both:
                part = first if rough else rest
                rows = 0 if part is None else len(part)
                found += [rows * part.score(architecture)["loss"] if part else 0.0, rows]
            return np.array(found)

        parts = [
            f"{superplm_sha256(superplm)}:{scorer.rows_sha256}"
            for superplm, scorer in zip(superplms, scorers, strict=True)
        ]
        super().__init__(
            "task",
            _key(["task", *parts], precision=precision),
            sums,
            lambda sums: float(np.mean(sums[::2] / sums[1::2])),
        )


#: Names that `make_proxy` knows; the default is what the SuperPLM allows.
ProxyName = Literal["distillation", "mlm", "task"]


def make_proxy(
    superplm: SuperPLM | str,
    name: ProxyName | None = None,
    elastic: Sequence[Path] = (),
    *,
    bf16: bool = False,
    precision: str = "fp32",
    sequence_length: int | None = None,
) -> Proxy:
    """The proxy of this name.

    Args:
        superplm: Whose slices, or its name or folder, which can be sent to another process.
        name: The default one where None.
        elastic: For `task`, which is the default where they are given.
        bf16: For `task`: matrix products in bfloat16.
        precision: In which slices run.
        sequence_length: For `task`: tokens to which rows are cut.

    Raises:
        InputError: The SuperPLM lacks what it needs, or one of the others is of no use.
    """
    if elastic and name not in (None, "task"):
        raise InputError(f"--proxy {name} has no use for --elastic: leave it out.")
    if bf16 and precision != "fp32":
        raise InputError(
            f"--bf16 is of no use where models are scored in {precision}: leave it out."
        )
    if elastic or name == "task":
        return TaskProxy(elastic, bf16=bf16, precision=precision, sequence_length=sequence_length)
    if bf16:
        raise InputError("--bf16 is for --proxy task: leave it out.")
    if sequence_length is not None:
        raise InputError(
            "What a shorter sequence costs is told by tasks alone: give --proxy task --elastic DIR."
        )
    if isinstance(superplm, str):
        from atb.models.embedded import load_superplm

        superplm = load_superplm(superplm)
    if name is None:
        name = "mlm" if superplm.config.projection_size is None else "distillation"
    kind = DistillationProxy if name == "distillation" else MlmProxy
    return kind(superplm, precision=precision)


def _key(parts: Sequence[str], *, precision: str) -> str:
    in_other = () if precision == "fp32" else (precision,)
    return hashlib.sha256(":".join([*parts, *in_other]).encode()).hexdigest()[:16]


def superplm_sha256(superplm: SuperPLM) -> str:
    """Hash of the weights of a SuperPLM."""
    return module_sha256(superplm)


def module_sha256(module: object) -> str:
    """Hash of all parameters of a torch module, by name."""
    import torch

    assert isinstance(module, torch.nn.Module)
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
