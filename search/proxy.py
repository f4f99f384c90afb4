"""How good an architecture is, told cheaply: scores by which a search ranks its candidates."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models.architecture import Architecture

if TYPE_CHECKING:
    from atb.data.shards import TokenShards
    from atb.models.superplm import SuperPLM
    from atb.training.teacher import Teacher

__all__ = [
    "DescribedProxy",
    "DistillationProxy",
    "ExactProxy",
    "ExactRoughProxy",
    "Losses",
    "MlmProxy",
    "Proxy",
    "ProxyName",
    "RoughProxy",
    "check_options",
    "make_proxy",
    "proxy_key",
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
        text_told: str = "",
        teacher: Teacher | None = None,
        precision: str = "fp32",
    ) -> None:
        """Prepare the text once for all candidates.

        Args:
            superplm: Whose slices are scored.
            text: Held-out text; part of the shipped sample by default.
            text_told: How a person calls the text.
            teacher: For distillation; see `HeldOut`.
            precision: In which slices run; the teacher does in float32.

        Raises:
            InputError: The SuperPLM lacks the head that the proxy needs, or the text or the teacher
                is none for it.
        """
        from atb.search.int8_slices import as_deployed
        from atb.training.evaluation import HeldOut, held_out_text

        if text is None:
            text, text_told = held_out_text(superplm, limit=SEQUENCES), "the shipped sample"
        judge = HeldOut(as_deployed(superplm, precision), text, self._loss, teacher=teacher)
        taught_by = "" if judge.teacher is None else module_sha256(judge.teacher.encoder)
        parts = [self._loss, superplm_sha256(superplm), text.sha256, taught_by]
        told = {"teacher": judge.teacher_told, "text": text_told or f"{len(text):,} sequences"}
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


#: Names that `make_proxy` knows; the default is what the SuperPLM allows.
ProxyName = Literal["distillation", "mlm", "task", "finetune"]


def make_proxy(
    superplm: SuperPLM | str,
    name: ProxyName | None = None,
    elastic: Sequence[Path] = (),
    *,
    held_out: Path | None = None,
    teacher: str | None = None,
    task: str | None = None,
    data: str | None = None,
    bf16: bool = False,
    precision: str = "fp32",
    sequence_length: int | None = None,
) -> Proxy:
    """The proxy of this name.

    Args:
        superplm: Whose slices, or its name or folder, which can be sent to another process.
        name: The default one where None.
        elastic: For `task`, which is the default where they are given.
        held_out: For `distillation` and `mlm`: token shards; the shipped sample when None.
        teacher: For `distillation`: where the teacher is; see `score_teacher`.
        task: For `finetune`: name of the task.
        data: For `finetune`: where the task's rows are.
        bf16: For `task` and `finetune`: matrix products in bfloat16.
        precision: In which slices run.
        sequence_length: For `task` and `finetune`: tokens to which rows are cut.

    Raises:
        InputError: The SuperPLM lacks what it needs, or an argument is of no use for the proxy.
    """
    if isinstance(superplm, str) and not (elastic or name == "task"):
        from atb.models.embedded import load_superplm

        superplm = load_superplm(superplm)
    known = None if isinstance(superplm, str) else superplm
    given = {"held_out": held_out, "teacher": teacher, "task": task, "data": data}
    name = check_options(known, name, given, elastic=elastic, bf16=bf16, precision=precision)
    if name == "task":
        from atb.search.task_proxy import TaskProxy

        return TaskProxy(elastic, bf16=bf16, precision=precision, sequence_length=sequence_length)
    assert not isinstance(superplm, str)
    if name == "finetune":
        return _finetune_proxy(
            superplm, task, data, bf16=bf16, precision=precision, sequence_length=sequence_length
        )
    if sequence_length is not None:
        raise InputError(
            "What a shorter sequence costs is told by tasks alone: give --proxy task --elastic DIR."
        )
    return _held_out_proxy(superplm, name, held_out, teacher, precision)


def check_options(
    superplm: SuperPLM | None,
    name: ProxyName | None,
    given: Mapping[str, Any],
    *,
    elastic: Sequence[Path],
    bf16: bool,
    precision: str,
) -> ProxyName:
    """Refuse what a proxy has no use for, or lacks; no weights are looked at.

    Args:
        superplm: Whose slices; None only for `task`, whose folders hold SuperPLMs of their own.
        name: Of the proxy; the default one where None.
        given: `held_out`, `teacher`, `task` and `data`, None where they are not given.
        elastic: As for `make_proxy`, like the others.
        bf16: Matrix products in bfloat16.
        precision: In which slices run.

    Returns:
        The name of the proxy.

    Raises:
        InputError: Something is of no use, or is missing.
    """
    if name is None:
        has_projection = superplm is not None and superplm.config.projection_size is not None
        name = "task" if elastic else "distillation" if has_projection else "mlm"
    users: dict[str, tuple[ProxyName, ...]] = {
        "held_out": ("distillation", "mlm"),
        "teacher": ("distillation",),
        "task": ("finetune",),
        "data": ("finetune",),
        "elastic": ("task",),
        "bf16": ("task", "finetune"),
    }
    wanted = {**given, "elastic": elastic or None, "bf16": bf16 or None}
    for option, names in users.items():
        if wanted[option] is not None and name not in names:
            words = f"--{option.replace('_', '-')}"
            raise InputError(f"--proxy {name} has no use for {words}: leave it out.")
    if bf16 and precision != "fp32":
        raise InputError(
            f"--bf16 is of no use where models are scored in {precision}: leave it out."
        )
    if name == "task" and not elastic:
        raise InputError("--proxy task needs --elastic DIR, made by `atb superplm finetune`.")
    if name == "finetune" and (given["task"] is None or given["data"] is None):
        raise InputError("--proxy finetune needs a task and its rows: give --task and --data.")
    return name


def _held_out_proxy(
    superplm: SuperPLM,
    name: Literal["distillation", "mlm"],
    held_out: Path | None,
    teacher: str | None,
    precision: str,
) -> Proxy:
    from atb.training.evaluation import held_out_text
    from atb.training.score_teacher import score_teacher

    text = None if held_out is None else held_out_text(superplm, held_out, limit=SEQUENCES)
    told = "" if text is None else f"{len(text):,} sequences of {held_out}"
    if name == "mlm":
        return MlmProxy(superplm, text, text_told=told, precision=precision)
    known = None if teacher is None else score_teacher(superplm, teacher).teacher
    return DistillationProxy(superplm, text, text_told=told, teacher=known, precision=precision)


def _finetune_proxy(
    superplm: SuperPLM, task: str | None, data: str | None, **options: Any
) -> Proxy:
    from atb.data.vocabulary import vocabulary_of
    from atb.search.finetuning_proxy import FinetuneProxy
    from atb.training.known_tasks import find_task

    assert task is not None
    assert data is not None
    return FinetuneProxy(superplm, find_task(task), data, vocabulary_of(superplm.folder), **options)


def proxy_key(parts: Sequence[str], *, precision: str) -> str:
    """A short hash of what scores depend on, and of the precision in which slices run."""
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
