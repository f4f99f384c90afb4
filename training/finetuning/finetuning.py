"""Fine-tuning a single model on a task of GLUE or SQuAD, by the transformers Trainer.

The best weights by rows held out of the training split are kept; the development split is read
once, to report. The reference chooses and reports on the same rows.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from atb.data.tasks import Examples, Task, hold_out
from atb.errors import BadFile, InputError
from atb.files import prepare_output, read_document, translate_write_errors, write_document
from atb.models import Stage, read_history, write_history
from atb.training import check_same_run
from atb.training.finetuning.best_weights import train_for_best
from atb.training.finetuning.settings import FineTuning
from atb.training.finetuning.task_model import TaskModel

__all__ = ["REPORT", "FineTuned", "fine_tune", "read_report"]

#: What a fine-tuned folder tells of itself.
REPORT = "finetuned.json"
_KIND, _FORMAT = "finetuned-model", 1

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class FineTuned:
    """What came of it.

    Attributes:
        task: Its name.
        metric: The score that counts.
        held_out: The best of it on the held-out rows, by which the weights were chosen.
        best_step: When that was.
        steps: Steps in all.
        scores: By development split, scores by name.
        seconds: Time taken by the last call, evaluation included.
        skipped_rows: Training rows that were left out.
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
        task: What for.
        source: Where the task's rows are; see `Task.read`.
        settings: How.
        out: Folder of the fine-tuned model: a transformers folder with `finetuned.json`.
        progress: Told steps done, all steps, and a word.
        warn: Told, before anything is trained, each remark on rows that were left out or put
            right.

    Raises:
        InputError: Model, rows or folder cannot be used.
        RunError: The disk is full, or the loss is no number any more.
    """
    began = time.monotonic()
    rows, judged = task.read(source, "train"), _development(task, source)
    for found in (rows, *judged.values()):
        found.tell(warn)
    learnt, held = hold_out(rows, settings.seed)
    learnt = learnt.draw(settings.train_rows, settings.seed)
    loaded = TaskModel.fresh(model, task, dropout=settings.dropout, seed=settings.seed)
    run = {
        "task": task.name,
        "settings": asdict(settings),
        "rows": learnt.sha256,
        "starting_point": loaded.fingerprint(),
    }
    run = json.loads(json.dumps(run))
    known = _known(out, run)
    if known is not None:
        return known
    prepare_output(out, directory=True)
    with translate_write_errors(out):
        best = train_for_best(
            loaded, learnt, held, settings, folder=out / "checkpoints", progress=progress
        )
    scores = {
        split: loaded.evaluate(found, settings.sequence_length) for split, found in judged.items()
    }
    tuned = FineTuned(
        task.name,
        task.metric,
        best.score,
        best.step,
        best.steps,
        scores,
        round(time.monotonic() - began, 1),
        learnt.skipped,
    )
    with translate_write_errors(out):
        loaded.save(out)
        write_history(out, _history(model, tuned))
        write_document(out / REPORT, {**asdict(tuned), "run": run}, kind=_KIND, format=_FORMAT)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return tuned


def read_report(folder: Path) -> FineTuned:
    """What a fine-tuned folder tells of itself.

    Raises:
        BadFile: It tells nothing, or is damaged.
    """
    document = read_document(folder / REPORT, kind=_KIND, format=_FORMAT)
    try:
        return FineTuned(**{field.name: document[field.name] for field in fields(FineTuned)})
    except KeyError as error:
        raise BadFile(f"{folder / REPORT} is damaged (no {error}): fine-tune again.") from error


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


def _known(out: Path, run: Mapping[str, Any]) -> FineTuned | None:
    """What a folder holds that is done; nothing where the run is to begin or to go on."""
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
