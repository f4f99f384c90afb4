"""`atb superplm finetune` and `evaluate`: how good slices are, on text or on a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from atb.commands.arguments import HeldOutShards, Json, Seed, SpaceName, TeacherFolder, note_held
from atb.commands.model import TaskData, TaskName, note_remark
from atb.commands.output import Progress, note, print_json, print_line, print_table, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.models import Architecture
    from atb.models.superplm import SuperPLM

__all__ = ["evaluate", "finetune"]

#: By what slices are scored, as the command line says it.
ProxyName = Literal["distillation", "mlm", "task", "finetune"]
_SuperPLM = Annotated[str, typer.Argument(metavar="SUPERPLM", help="A folder, or `mini`.")]


def finetune(
    superplm: _SuperPLM,
    task: TaskName,
    data: TaskData,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the result.")],
    space: SpaceName = "mini",
    sampling: Annotated[Literal["uniform", "sandwich"], typer.Option("--sampling")] = "sandwich",
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="The sandwich's largest learns, and teaches the others."),
    ] = False,
    batch_parts: Annotated[
        int,
        typer.Option(
            "--batch-parts",
            help="Parts of a step's rows, each with sub-models of its own; at least as many as "
            "processes that torchrun starts.",
        ),
    ] = 1,
    random_samples: Annotated[
        int, typer.Option("--random-samples", help="Random sub-models for each part.")
    ] = 2,
    epochs: Annotated[float, typer.Option("--epochs")] = 10.0,
    batch: Annotated[int, typer.Option("--batch", help="Rows in a step.")] = 32,
    sequence_length: Annotated[int | None, typer.Option("--sequence-length")] = None,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 1e-4,
    dropout: Annotated[float, typer.Option("--dropout", min=0.0)] = 0.1,
    train_rows: Annotated[
        int | None, typer.Option("--train-rows", min=1, help="Learn from so many rows only.")
    ] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Matrix products in bfloat16.")] = False,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    seed: Seed = 0,
) -> None:
    """Fine-tune all slices on a task at once; the same command resumes a run that was stopped.

    A tenth of the training rows is held out: `atb superplm evaluate` scores slices on those.
    """
    import torch

    from atb.data import TextModel
    from atb.models import find_space
    from atb.models.superplm import folder_of, load_superplm
    from atb.training.finetuning import ElasticSettings, find_task, finetune_elastic

    if threads is not None:
        torch.set_num_threads(threads)
    settings = ElasticSettings(
        space=find_space(space),
        epochs=epochs,
        batch_size=batch,
        batch_parts=batch_parts,
        sequence_length=sequence_length,
        sampling=sampling,
        in_place=in_place,
        random_samples=random_samples,
        learning_rate=learning_rate,
        dropout=dropout,
        train_rows=train_rows,
        seed=seed,
        bf16=bf16,
    )
    start = load_superplm(superplm)
    note_held(settings.space, start.architecture)
    words = TextModel.read(folder_of(superplm)).vocabulary
    with progress("fine-tune") as show:
        finetune_elastic(
            start,
            find_task(task),
            data,
            settings,
            out,
            vocabulary=words,
            progress=lambda step: show(step.number, step.steps, f"loss {step.loss:.4f}"),
            warn=note_remark,
        )
    print_line(f"{out}: score its slices with `atb superplm evaluate {out}`")


def evaluate(
    superplm: _SuperPLM = "mini",
    architectures: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="ARCH", help="A slice; repeatable. Three by default."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DIR|hf:NAME",
            help="Token shards (the shipped sample by default), or the rows of the task (where "
            "they were when it was fine-tuned).",
        ),
    ] = None,
    proxy: Annotated[
        ProxyName | None,
        typer.Option("--proxy", help="What to score by; what the SuperPLM can by default."),
    ] = None,
    space: SpaceName = "mini",
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="So many of the space, for --arch.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Of --proxy finetune.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Of --proxy finetune: the fine-tuned models."),
    ] = None,
    held_out: HeldOutShards = None,
    teacher: TeacherFolder = None,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Of --proxy task and finetune: products in bfloat16.")
    ] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Score slices.

    By `distillation`, how far a slice is from the teacher that the SuperPLM learnt from, or by
    `mlm`, its loss and accuracy on masked words: on held-out text. By `task`, where `atb superplm
    finetune` made it: on the rows of the task that were held out. By `finetune`, as AutoTinyBERT
    does: each slice is fine-tuned alone on a task, which takes hours; the same command goes on with
    those that are missing.
    """
    from atb.data import TextModel
    from atb.models.superplm import folder_of, load_superplm

    loaded = load_superplm(superplm)
    TextModel.read(folder_of(superplm))
    proxy = proxy or _default(loaded)
    if proxy != "finetune" and (task or out):
        raise InputError(f"--proxy {proxy} has no use for --task and --out: leave them out.")
    unused = {
        "--bf16": bf16 and proxy in ("distillation", "mlm"),
        "--held-out": held_out is not None and proxy not in ("distillation", "mlm"),
        "--teacher": teacher is not None and proxy != "distillation",
    }
    for option, is_unused in unused.items():
        if is_unused:
            raise InputError(f"--proxy {proxy} has no use for {option}: leave it out.")
    if held_out is not None and data is not None:
        raise InputError("Give the token shards either with --held-out or with --data.")
    shapes = _shapes(loaded, architectures, space, samples, seed)
    scores, told = [], ""
    with progress("evaluate") as show:
        if proxy == "finetune":
            score = _full_scorer(
                loaded, superplm, task, data, out, {"seed": seed, "bf16": bf16}, show
            )
        elif proxy == "task":
            from atb.training.finetuning import elastic_scorer

            score = elastic_scorer(loaded, Path(superplm), data, bf16=bf16).score
        else:
            shards = held_out if data is None else Path(data)
            score, told = _on_text(loaded, proxy, shards, teacher)
        for shape in shapes:
            scores.append(score(shape))
            show(len(scores), len(shapes), str(shape))
    if json:
        rows = [
            {"architecture": str(shape), **found}
            for shape, found in zip(shapes, scores, strict=True)
        ]
        of_teacher = {"teacher": told} if told else {}
        print_json(
            {
                "proxy": proxy,
                **of_teacher,
                "losses" if proxy in ("distillation", "mlm") else "scores": rows,
            }
        )
        return
    names = list(scores[0])
    print_table(
        ("architecture", *names),
        [
            (str(shape), *(f"{found[name]:.4f}" for name in names))
            for shape, found in zip(shapes, scores, strict=True)
        ],
    )
    note("of loss less is better, of all else more")
    if told:
        note(f"teacher: {told}")


def _default(superplm: SuperPLM) -> ProxyName:
    if superplm.task_head is not None:
        return "task"
    return "mlm" if superplm.config.projection_size is None else "distillation"


def _shapes(
    superplm: SuperPLM,
    architectures: list[str] | None,
    space: str,
    samples: int | None,
    seed: int,
) -> list[Architecture]:
    """Those asked for; else the smallest, one in the middle and the largest."""
    import numpy as np

    from atb.models import find_space, resolve

    if architectures and samples:
        raise InputError("Give either --arch or --samples.")
    shapes = [resolve(text) for text in architectures or ()]
    for shape in shapes:
        superplm.check(shape)
    if shapes:
        return shapes
    limited = find_space(space).limited_to(superplm.architecture)
    if samples:
        return limited.sample(np.random.default_rng(seed), samples)
    middle = limited.at(tuple(len(values) // 2 for values in limited.genes))  # type: ignore[arg-type]
    return list(dict.fromkeys([limited.smallest, middle, limited.largest]))


def _on_text(
    superplm: SuperPLM,
    proxy: Literal["distillation", "mlm"],
    shards: Path | None,
    teacher: str | None,
) -> tuple[Callable[[Architecture], dict[str, Any]], str]:
    """Scores of a slice by name, and what distillation holds it against."""
    from atb.training.one_shot import HeldOut, held_out_text, score_teacher

    given = None if teacher is None else score_teacher(superplm, teacher).teacher
    judge = HeldOut(superplm, held_out_text(superplm, shards), proxy, teacher=given)
    return judge.scores, judge.teacher_description


def _full_scorer(
    superplm: SuperPLM,
    name: str,
    task: str | None,
    data: str | None,
    out: Path | None,
    changes: dict[str, Any],
    show: Progress,
) -> Callable[[Architecture], dict[str, Any]]:
    """The task's metric of a slice that is fine-tuned alone."""
    from atb.data import TextModel
    from atb.models.superplm import folder_of
    from atb.training.finetuning import FullFineTuning, find_task, with_changes

    if task is None or data is None or out is None:
        raise InputError("Scoring by finetune needs --task, --data and --out.")
    known = find_task(task)
    words = TextModel.read(folder_of(name)).vocabulary
    settings = with_changes(known.name, **changes)
    scorer = FullFineTuning(superplm, words, known, data, settings, folder=out, progress=show)
    return scorer.score
