"""`atb superplm evaluate`: how good slices are, on text or on a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atb.commands.arguments import (
    Bfloat16,
    HeldOutShards,
    Json,
    Options,
    ScoringTeacher,
    Seed,
    SentencePairsFile,
    SpaceName,
    SuperPLMArgument,
    option,
)
from atb.commands.output import Progress, Table, print_result, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.models import Architecture
    from atb.models.superplm import SuperPLM
    from atb.training import Teacher

#: What slices are scored by, as the command line says it.
ProxyName = Literal["agreement", "distillation", "mlm", "task", "finetune"]
_ON_TEXT = ("distillation", "mlm")
_Scores = dict[str, Any]


class SliceOptions(Options, panel="What is scored"):
    """Which slices are scored."""

    architectures: list[str] | None = option(
        "--arch",
        default=None,
        metavar="ARCH",
        help="Score this slice; repeatable; by default the smallest, a middle one and the largest.",
    )
    space: SpaceName = "mini"
    samples: int | None = option(
        default=None,
        min=1,
        help="Score this many random architectures of the space; by default those of --arch.",
    )
    seed: Seed = 0


class ProxyOptions(Options, panel="Scoring"):
    """What slices are scored by, and on which data."""

    proxy: ProxyName | None = option(
        default=None,
        metavar="NAME",
        help="Score by `agreement`, `distillation`, `mlm`, `task` or `finetune`; by default by "
        "what the SuperPLM was trained for.",
    )
    data: str | None = option(
        default=None,
        metavar="DIR|hf:NAME",
        help="Score on these token shards, or these rows of the task; by default on the "
        "bundled sample, or on the rows that it was fine-tuned on.",
    )
    held_out: HeldOutShards = None
    pairs: SentencePairsFile = None
    teacher: ScoringTeacher = None
    task: str | None = option(
        default=None,
        metavar="TASK",
        help="Fine-tune each slice on this task, for --proxy finetune.",
    )
    out: Path | None = option(
        default=None,
        metavar="DIR",
        help="Write the fine-tuned models to this folder, for --proxy finetune.",
    )
    bf16: Bfloat16 = False


def evaluate(
    superplm: SuperPLMArgument = "mini",
    *,
    slices: SliceOptions,
    how: ProxyOptions,
    json: Json = False,
) -> None:
    """Score slices of a SuperPLM on held-out text or on a task.

    By `agreement`, how well a slice keeps the teacher's ranking of sentence pairs, and its nearest
    sentences. By `distillation`, how far a slice is from the teacher that the SuperPLM learnt from,
    or by `mlm`, its loss and accuracy on masked words: on held-out text. By `task`, where `atb
    superplm finetune` made it: on the rows of the task that were held out. By `finetune`, as
    AutoTinyBERT does: each slice is fine-tuned alone on a task, which takes hours; the same command
    continues with those that are missing.

    Example:
        atb superplm evaluate trained --arch L4-H256-A8-Q256-F512
    """
    from atb.data import TextModel
    from atb.models.superplm import folder_of, load_superplm

    loaded = load_superplm(superplm)
    TextModel.read(folder_of(superplm))
    proxy = how.proxy or _default(loaded, how)
    how = replace(how, proxy=proxy)
    _reject_unused(proxy, how)
    shapes = _shapes(loaded, slices)
    scores: list[_Scores] = []
    with progress("evaluate") as show:
        score, teacher = _scorer(loaded, superplm, how, slices.seed, show)
        for shape in shapes:
            scores.append(score(shape))
            show(len(scores), len(shapes), str(shape))
    found = list(zip(map(str, shapes), scores, strict=True))
    names = list(scores[0])
    print_result(
        {
            "proxy": proxy,
            **({"teacher": teacher} if teacher else {}),
            "losses" if proxy in _ON_TEXT else "scores": [
                {"architecture": shape, **values} for shape, values in found
            ],
        },
        Table(
            ("architecture", *names),
            [(shape, *(f"{values[name]:.4f}" for name in names)) for shape, values in found],
        ),
        json=json,
        status=[
            "of loss less is better, of all else more",
            *([f"teacher: {teacher}"] if teacher else []),
        ],
    )


def _default(superplm: SuperPLM, how: ProxyOptions) -> ProxyName:
    from atb.search.scoring import default_on_text

    if superplm.task_head is not None:
        return "task"
    return default_on_text(superplm, on_text=(how.held_out or how.data) is not None)


def _reject_unused(proxy: ProxyName, how: ProxyOptions) -> None:
    if proxy != "finetune" and (how.task or how.out):
        raise InputError(f"--proxy {proxy} has no use for --task and --out: leave them out.")
    unused = {
        "--bf16": how.bf16 and proxy in ("agreement", *_ON_TEXT),
        "--held-out": how.held_out is not None and proxy not in _ON_TEXT,
        "--pairs": how.pairs is not None and proxy != "agreement",
        "--data": how.data is not None and proxy == "agreement",
        "--teacher": how.teacher is not None and proxy not in ("agreement", "distillation"),
    }
    for name, is_unused in unused.items():
        if is_unused:
            raise InputError(f"--proxy {proxy} has no use for {name}: leave it out.")
    if how.held_out is not None and how.data is not None:
        raise InputError("Give the token shards either with --held-out or with --data.")


def _shapes(superplm: SuperPLM, slices: SliceOptions) -> list[Architecture]:
    """Those asked for; by default the smallest, one in the middle and the largest."""
    import numpy as np

    from atb.models import find_space, resolve

    if slices.architectures and slices.samples:
        raise InputError("Give either --arch or --samples.")
    shapes = [resolve(text) for text in slices.architectures or ()]
    for shape in shapes:
        superplm.check(shape)
    if shapes:
        return shapes
    limited = find_space(slices.space).limited_to(superplm.architecture)
    if slices.samples:
        return limited.sample(np.random.default_rng(slices.seed), slices.samples)
    middle = limited.at(tuple(len(values) // 2 for values in limited.genes))  # type: ignore[arg-type]
    return list(dict.fromkeys([limited.smallest, middle, limited.largest]))


def _scorer(
    superplm: SuperPLM, name: str, how: ProxyOptions, seed: int, show: Progress
) -> tuple[Callable[[Architecture], _Scores], str]:
    """Scores of a slice by name, and the teacher of distillation, if there is one."""
    if how.proxy == "finetune":
        return _full_scorer(superplm, name, how, seed, show), ""
    if how.proxy == "task":
        from atb.training.finetuning import elastic_scorer

        return elastic_scorer(superplm, Path(name), how.data, bf16=how.bf16).score, ""

    from atb.training.one_shot import HeldOut, held_out_text, score_teacher

    assert how.proxy is not None
    teacher = None if how.teacher is None else score_teacher(superplm, how.teacher).teacher
    if how.proxy == "agreement":
        return _agreement_scorer(superplm, name, how.pairs, teacher)
    shards = how.held_out if how.data is None else Path(how.data)
    judge = HeldOut(superplm, held_out_text(superplm, shards), how.proxy, teacher=teacher)
    return judge.scores, judge.teacher_description


def _agreement_scorer(
    superplm: SuperPLM, name: str, pairs: Path | None, teacher: Teacher | None
) -> tuple[Callable[[Architecture], _Scores], str]:
    from dataclasses import asdict

    from atb.data import TextModel
    from atb.data.corpus import SentencePairs
    from atb.models.superplm import folder_of
    from atb.training.one_shot import AgreementScorer

    words = TextModel.read(folder_of(name)).vocabulary
    scorer = AgreementScorer(superplm, words, SentencePairs.read(pairs), teacher=teacher)

    def score(architecture: Architecture) -> _Scores:
        found = asdict(scorer.score(architecture))
        return {name: value for name, value in found.items() if value is not None}

    return score, scorer.teacher_description


def _full_scorer(
    superplm: SuperPLM, name: str, how: ProxyOptions, seed: int, show: Progress
) -> Callable[[Architecture], _Scores]:
    """The task's metric of a slice that is fine-tuned alone."""
    from atb.data import TextModel
    from atb.models.superplm import folder_of
    from atb.training.finetuning import FullFineTuning, find_task, with_changes

    if how.task is None or how.data is None or how.out is None:
        raise InputError("Scoring by finetune needs --task, --data and --out.")
    known = find_task(how.task)
    words = TextModel.read(folder_of(name)).vocabulary
    settings = with_changes(known.name, seed=seed, bf16=how.bf16)
    scorer = FullFineTuning(
        superplm, words, known, how.data, settings, folder=how.out, progress=show
    )
    return scorer.score
