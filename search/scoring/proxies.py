"""The proxies by name, and which options each of them takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atb.errors import InputError
from atb.search.scoring.proxy import (
    SEQUENCES,
    AgreementProxy,
    DistillationProxy,
    MlmProxy,
    Proxy,
    ProxyName,
)

if TYPE_CHECKING:
    from atb.models.superplm import SuperPLM


def make_proxy(
    superplm: SuperPLM | str,
    name: ProxyName | None = None,
    elastic: Sequence[Path] = (),
    *,
    held_out: Path | None = None,
    teacher: str | None = None,
    task: str | None = None,
    data: str | None = None,
    pairs: Path | None = None,
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
        teacher: For `agreement` and `distillation`: where the teacher is; see `score_teacher`.
        task: For `finetune`: name of the task.
        data: For `finetune`: where the task's rows are.
        pairs: For `agreement`: a table of sentence pairs; the shipped ones when None.
        bf16: For `task` and `finetune`: matrix products in bfloat16.
        precision: In which slices run.
        sequence_length: For `task` and `finetune`: tokens to which rows are cut.

    Raises:
        InputError: The SuperPLM lacks what it needs, or an argument is of no use for the proxy.
    """
    if isinstance(superplm, str) and not (elastic or name == "task"):
        from atb.models.superplm import load_superplm

        superplm = load_superplm(superplm)
    known = None if isinstance(superplm, str) else superplm
    given = {"held_out": held_out, "teacher": teacher, "task": task, "data": data}
    name = check_options(known, name, given, elastic=elastic, bf16=bf16, precision=precision)
    if name == "task":
        from atb.search.scoring.task_proxy import TaskProxy

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
    if name == "agreement":
        return _agreement_proxy(superplm, pairs, teacher, precision)
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
        on_text = given["held_out"] is not None
        name = "task" if elastic else default_on_text(superplm, on_text=on_text)
    users: dict[str, tuple[ProxyName, ...]] = {
        "held_out": ("distillation", "mlm"),
        "teacher": ("agreement", "distillation"),
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


def default_on_text(
    superplm: SuperPLM | None, *, on_text: bool = False
) -> Literal["agreement", "distillation", "mlm"]:
    """What slices are scored by where nobody says.

    Args:
        superplm: Whose slices.
        on_text: Whether there is held-out text to score on.
    """
    from atb.data.tokenizer import read_vocabulary
    from atb.training import vocabulary_sha256_of

    if superplm is None or superplm.config.projection_size is None:
        return "mlm"
    # the shipped pairs are English
    has_words = vocabulary_sha256_of(superplm) in (None, read_vocabulary().sha256)
    return "agreement" if has_words and not on_text else "distillation"


def _agreement_proxy(
    superplm: SuperPLM, pairs: Path | None, teacher: str | None, precision: str
) -> Proxy:
    from atb.data.corpus import SentencePairs
    from atb.training.one_shot import score_teacher

    read = SentencePairs.read(pairs)
    known = None if teacher is None else score_teacher(superplm, teacher).teacher
    return AgreementProxy(superplm, read, teacher=known, precision=precision)


def _held_out_proxy(
    superplm: SuperPLM,
    name: Literal["distillation", "mlm"],
    held_out: Path | None,
    teacher: str | None,
    precision: str,
) -> Proxy:
    from atb.training.one_shot import held_out_text, score_teacher

    text = None if held_out is None else held_out_text(superplm, held_out, limit=SEQUENCES)
    told = "" if text is None else f"{len(text):,} sequences of {held_out}"
    if name == "mlm":
        return MlmProxy(superplm, text, text_description=told, precision=precision)
    known = None if teacher is None else score_teacher(superplm, teacher).teacher
    return DistillationProxy(
        superplm, text, text_description=told, teacher=known, precision=precision
    )


def _finetune_proxy(
    superplm: SuperPLM, task: str | None, data: str | None, **options: Any
) -> Proxy:
    from atb.data.tokenizer import vocabulary_of
    from atb.search.scoring.finetuning_proxy import FinetuneProxy
    from atb.training.finetuning import find_task

    assert task is not None
    assert data is not None
    return FinetuneProxy(superplm, find_task(task), data, vocabulary_of(superplm.folder), **options)
