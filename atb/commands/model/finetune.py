"""`atb model finetune` and `evaluate`: a model on the tasks of GLUE and SQuAD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atb.commands.arguments import Json, Seed
from atb.commands.output import note, print_json, print_table, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.data.tasks import Examples, Task

__all__ = ["TaskData", "TaskName", "evaluate", "finetune", "note_remark"]

TaskName = Annotated[
    str,
    typer.Option("--task", metavar="TASK", help="A task of GLUE (cola, ...), squad1 or squad2."),
]
TaskData = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="DIR|hf:NAME",
        help="Folder of the task's published files, or a dataset such as hf:nyu-mll/glue.",
    ),
]
_Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A transformers folder, or a name on the hub.")
]


def finetune(
    model: _Model,
    task: TaskName,
    data: TaskData,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the result.")],
    epochs: Annotated[float | None, typer.Option("--epochs")] = None,
    sequence_length: Annotated[int | None, typer.Option("--sequence-length")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Rows in a step.")] = None,
    evaluation_steps: Annotated[
        int | None,
        typer.Option("--evaluation-steps", help="From one look at the held-out rows to the next."),
    ] = None,
    dropout: Annotated[float | None, typer.Option("--dropout")] = None,
    train_rows: Annotated[
        int | None, typer.Option("--train-rows", min=1, help="Learn from so many rows only.")
    ] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Matrix products in bfloat16.")] = False,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fine-tune a model on a task; the same command resumes a run that was stopped.

    What is not given is as AutoTinyBERT has it for the task. A tenth of the training rows is held
    out to choose the best weights by; the development split is read once, to report.
    """
    import torch

    from atb.training.finetuning import find_task, fine_tune, with_changes

    if threads is not None:
        torch.set_num_threads(threads)
    known = find_task(task)
    settings = with_changes(
        known.name,
        epochs=epochs,
        sequence_length=sequence_length,
        learning_rate=learning_rate,
        batch_size=batch,
        evaluation_steps=evaluation_steps,
        dropout=dropout,
        train_rows=train_rows,
        seed=seed,
        bf16=bf16,
    )
    with progress("fine-tune") as show:
        found = fine_tune(model, known, data, settings, out, progress=show, warn=note_remark)
    if json:
        print_json(
            {
                "task": found.task,
                "metric": found.metric,
                "held_out": found.held_out,
                "best_step": found.best_step,
                "steps": found.steps,
                "scores": found.scores,
            }
        )
        return
    _print_scores(found.scores)
    note(
        f"{out}: weights of step {found.best_step} of {found.steps}, held-out {found.metric} "
        f"{found.held_out:.4f}"
    )


def evaluate(
    model: _Model,
    data: TaskData,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help="As the folder tells, by default."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="SPLIT", help="The development splits by default."),
    ] = None,
    sequence_length: Annotated[int | None, typer.Option("--sequence-length")] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            metavar="DIR",
            help="Write files there as the leaderboards of GLUE and SQuAD want them.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    json: Json = False,
) -> None:
    """Score a fine-tuned model on a split, or write its answers to a test split."""
    import torch

    from atb.data.tasks import check_split
    from atb.files import prepare_output
    from atb.training.finetuning import TaskModel, find_task, with_changes

    if threads is not None:
        torch.set_num_threads(threads)
    known = find_task(task or _task_of(model))
    splits = known.development_splits if split is None else (split,)
    for name in splits:
        check_split(known, name)
    length = with_changes(known.name, sequence_length=sequence_length).sequence_length
    if answers is not None:
        prepare_output(answers, directory=True)
    read = {name: known.read(data, name) for name in splits}
    for rows in read.values():
        rows.tell(note_remark)
    loaded = TaskModel.load(model, known)
    scores: dict[str, dict[str, float]] = {}
    with progress("evaluate") as show:
        for name, rows in read.items():
            features = loaded.encode(rows, length)
            outputs = loaded.run(
                features,
                lambda done, total, name=name: show(done, total, name),  # type: ignore[misc]
            )
            if _is_labelled(known, rows):
                scores[name] = known.score(rows, features, outputs)
            elif answers is None:
                raise InputError(
                    f"The split {name} has no labels to score by: write answers with --answers DIR."
                )
            if answers is not None:
                file = answers / known.answers_file(name)
                known.write_answers(rows, features, outputs, file)
                note(f"{file}: {len(rows):,} answers")
    if json:
        print_json({"task": known.name, "metric": known.metric, "scores": scores})
    elif scores:
        _print_scores(scores)


def note_remark(remark: str) -> None:
    """Say what was left out of a task's rows, or put right."""
    note(f"warning: {remark}")


def _is_labelled(task: Task, rows: Examples) -> bool:
    return task.head == "qa" or all("label" in row for row in rows.rows)


def _task_of(model: str) -> str:
    """What a fine-tuned folder was made for."""
    from atb.training.finetuning import REPORT, read_report

    if not (Path(model) / REPORT).is_file():
        raise InputError(f"{model} does not tell its task: name it with --task.")
    return read_report(Path(model)).task


def _print_scores(scores: Any) -> None:
    print_table(
        ("split", "score", "value"),
        [
            (split, name, f"{value:.4f}")
            for split, values in scores.items()
            for name, value in values.items()
        ],
        left=(0, 1),
    )
