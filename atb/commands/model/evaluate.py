"""`atb model evaluate`: a fine-tuned model on a split of its task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from atb.commands.arguments import Json, SequenceLengthOfTask, TaskRows, TorchThreads, use_threads
from atb.commands.output import Table, print_result, print_status, print_warning, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.data.tasks import Examples, Task
    from atb.training.finetuning import TaskModel

ModelArgument = Annotated[
    str, Argument(metavar="MODEL", help="A transformers folder, or a name on the hub.")
]


def evaluate(
    model: ModelArgument,
    data: TaskRows,
    task: Annotated[
        str | None,
        Option(metavar="TASK", help="Score this task; by default the one in the model's folder."),
    ] = None,
    split: Annotated[
        str | None,
        Option(metavar="SPLIT", help="Score this split; by default the development splits."),
    ] = None,
    sequence_length: SequenceLengthOfTask = None,
    answers: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Write answers to this folder, as the leaderboards of GLUE and SQuAD want them; "
            "by default only scores are shown.",
        ),
    ] = None,
    threads: TorchThreads = None,
    json: Json = False,
) -> None:
    """Score a fine-tuned model on a split, or write its answers to a test split.

    Example:
        atb model evaluate finetuned --data glue/rte
    """
    from atb.data.tasks import check_split
    from atb.files import prepare_output
    from atb.training.finetuning import TaskModel, find_task, with_changes

    use_threads(threads)
    known = find_task(task or _task_of(model))
    splits = known.development_splits if split is None else (split,)
    for name in splits:
        check_split(known, name)
    length = with_changes(known.name, sequence_length=sequence_length).sequence_length
    if answers is not None:
        prepare_output(answers, directory=True)
    read = {name: known.read(data, name) for name in splits}
    for rows in read.values():
        rows.tell(print_warning)
    loaded = TaskModel.load(model, known)
    scores = _score(known, loaded, read, length, answers)
    document = {"task": known.name, "metric": known.metric, "scores": scores}
    print_result(document, *([scores_table(scores)] if scores else []), json=json)


def _score(
    known: Task, loaded: TaskModel, read: Mapping[str, Examples], length: int, answers: Path | None
) -> dict[str, dict[str, float]]:
    """The scores of each split that has labels; answers are written on the way."""
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
                print_status(f"{file}: {len(rows):,} answers")
    return scores


def _is_labelled(task: Task, rows: Examples) -> bool:
    return task.head == "qa" or all("label" in row for row in rows.rows)


def _task_of(model: str) -> str:
    """What a fine-tuned folder was made for."""
    from atb.training.finetuning import REPORT, read_report

    if not (Path(model) / REPORT).is_file():
        raise InputError(f"{model} does not tell its task: name it with --task.")
    return read_report(Path(model)).task


def scores_table(scores: Mapping[str, Mapping[str, float]]) -> Table:
    """Scores by split and by name."""
    rows = [
        (split, name, f"{value:.4f}")
        for split, values in scores.items()
        for name, value in values.items()
    ]
    return Table(("split", "score", "value"), rows, left=(0, 1))
