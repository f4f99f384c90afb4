"""Fine-tuning a single model on a task of GLUE or SQuAD, by the transformers Trainer.

The best weights by rows held out of the training split are kept; the development split is read
once, to report. The reference chooses and reports on the same rows.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.data.tasks import Examples, Task, hold_out
from atb.errors import BadFile, InputError
from atb.files import prepare_output, read_document, translate_write_errors, write_document
from atb.models import Stage, read_history, write_history
from atb.plain import from_plain, to_plain
from atb.training import check_same_run
from atb.training.finetuning.best_weights import train_for_best
from atb.training.finetuning.settings import FineTuning
from atb.training.finetuning.task_model import TaskModel

#: What a fine-tuned folder tells of itself.
REPORT = "finetuned.json"
_KIND, _FORMAT = "finetuned-model", 1

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class FineTuned:
    """Result of a fine-tuning.

    Attributes:
        task: Name of the task.
        metric: Name of the score that counts.
        held_out: Best value of that score on the held-out rows, by which weights were chosen.
        best_step: Number of the step with those weights.
        steps: Number of all steps.
        scores: Scores by name for each development split.
        seconds: Time that the last call took, evaluation included.
        skipped_rows: Number of training rows that were left out.
    """

    task: str
    metric: str
    held_out: float
    best_step: int
    steps: int
    scores: Mapping[str, Mapping[str, float]]
    seconds: float
    skipped_rows: int


def fine_tune(
    model: str,
    task: Task,
    source: str,
    settings: FineTuning,
    out: Path,
    *,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> FineTuned:
    """Fine-tune a model, choose its best weights on held-out rows, report on the development split.

    The same call resumes a run that was stopped, and reads one that is done.

    Args:
        model: A transformers folder or a name on the hub: a TinyBert or any encoder.
        task: The task to learn.
        source: Where the task's rows are; see `Task.read`.
        settings: Settings of the run.
        out: Folder of the fine-tuned model: a transformers folder with `finetuned.json`.
        progress: Called with steps done, all steps, and the scores so far in words.
        warn: Called before anything is trained with each remark on rows that were left out or
            corrected.

    Raises:
        InputError: Model, rows or folder cannot be used.
        RunError: The disk is full, or the loss is no number any more.
    """
    began = time.monotonic()
    rows, development = task.read(source, "train"), _development(task, source)
    for found in (rows, *development.values()):
        found.tell(warn)
    learnt, held = hold_out(rows, settings.seed)
    learnt = learnt.draw(settings.train_rows, settings.seed)
    loaded = TaskModel.fresh(model, task, dropout=settings.dropout, seed=settings.seed)
    run = {"task": task.name, "settings": to_plain(settings), "rows": learnt.sha256}
    run["starting_point"] = loaded.fingerprint()
    finished = _finished(out, run)
    if finished is not None:
        return finished
    prepare_output(out, directory=True)
    with translate_write_errors(out):
        folder, length = out / "checkpoints", settings.sequence_length
        best = train_for_best(loaded, learnt, held, settings, folder=folder, progress=progress)
    tuned = FineTuned(
        task.name,
        task.metric,
        held_out=best.score,
        best_step=best.step,
        steps=best.steps,
        scores={split: loaded.evaluate(found, length) for split, found in development.items()},
        seconds=round(time.monotonic() - began, 1),
        skipped_rows=learnt.skipped,
    )
    with translate_write_errors(out):
        loaded.save(out)
        write_history(out, _history(model, tuned))
        write_document(out / REPORT, {**to_plain(tuned), "run": run}, kind=_KIND, format=_FORMAT)
    shutil.rmtree(folder, ignore_errors=True)
    return tuned


def read_report(folder: Path) -> FineTuned:
    """What a fine-tuned folder tells of itself.

    Raises:
        BadFile: It tells nothing, or is damaged.
    """
    document = read_document(folder / REPORT, kind=_KIND, format=_FORMAT)
    try:
        return from_plain(FineTuned, document)
    except ValueError as error:
        raise BadFile(f"{folder / REPORT} is damaged ({error}): fine-tune again.") from error


def _history(model: str, found: FineTuned) -> tuple[Stage, ...]:
    """How the starting point came about, and this."""
    before = read_history(Path(model)) or (Stage("import", {"source": Path(model).name}),)
    facts = {"task": found.task, "scores": found.scores, "held_out": found.held_out}
    return (*before, Stage("finetune", facts))


def _development(task: Task, source: str) -> dict[str, Examples]:
    """The rows to report on, read before hours of work depend on them."""
    first, *others = task.development_splits
    found = {first: task.read(source, first)}
    for split in others:  # MNLI's second one is not always at hand
        with contextlib.suppress(InputError):
            found[split] = task.read(source, split)
    return found


def _finished(out: Path, run: Mapping[str, Any]) -> FineTuned | None:
    """The report of a run that is done; None where the run is to begin or to continue."""
    if (out / REPORT).is_file():
        document = read_document(out / REPORT, kind=_KIND, format=_FORMAT)
        check_same_run(document.get("run"), run, out)
        return read_report(out)
    begun = out / "checkpoints" / "run.json"
    if begun.is_file():
        check_same_run(read_document(begun, kind=_KIND, format=_FORMAT)["run"], run, out)
    else:
        prepare_output(begun)
        write_document(begun, {"run": run}, kind=_KIND, format=_FORMAT)
    return None
