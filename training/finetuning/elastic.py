"""Elastic fine-tuning: all slices of a SuperPLM on one task at once.

Afterwards a slice is scored on the task by forward passes alone, where the reference fine-tunes
each candidate (about 1.5 GPU-hours). The engine is that of one-shot training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from atb.data import TextModel
from atb.data.corpus import HUGGING_FACE
from atb.data.tasks import Examples, Feature, Task, hold_out
from atb.data.tokenizer import Vocabulary, tokenizer_of
from atb.errors import InputError
from atb.files import prepare_output, read_document, write_document
from atb.models import Architecture, SearchSpace
from atb.models.superplm import SuperPLM
from atb.training import Sampling, TrainingSettings, leads
from atb.training.finetuning.prediction import Inputs, outputs_of
from atb.training.finetuning.settings import with_changes
from atb.training.finetuning.task_learning import (
    TaskLearning,
    TaskRows,
    batch_of_inputs,
    task_loss,
)
from atb.training.finetuning.task_names import find_task
from atb.training.one_shot import ROUGH_EVERY, Progress, one_thread, train_superplm

_TASK, _KIND, _FORMAT = "task.json", "elastic-task", 1


@dataclass(frozen=True, slots=True)
class ElasticSettings:
    """How all slices are fine-tuned.

    Attributes:
        space: Space of the slices.
        epochs: Passes over the training rows.
        batch_size: Rows in a step.
        batch_parts: Parts that a batch is cut into, each with slices of its own; several processes
            share them.
        sequence_length: Most tokens of a feature; as AutoTinyBERT has it for the task when None.
        sampling: Whether the largest and the smallest slice are added to random ones.
        in_place: Whether the output of the largest is the target of the others.
        random_samples: Random slices for each step.
        learning_rate: Peak of the learning rate, after a tenth of the steps.
        dropout: Share of hidden states, attention weights and the head's input set to zero.
        seed: Determines the head, the rows held out, their order, slices and dropout.
        bf16: Whether matrix products run in bfloat16.
        train_rows: Only so many training rows, drawn by the seed; all when None.
    """

    space: SearchSpace
    epochs: float = 10.0
    batch_size: int = 32
    batch_parts: int = 1
    sequence_length: int | None = None
    sampling: Sampling = "sandwich"
    in_place: bool = False
    random_samples: int = 2
    learning_rate: float = 1e-4
    dropout: float = 0.1
    seed: int = 0
    bf16: bool = False
    train_rows: int | None = None

    def of_training(self, rows: int) -> TrainingSettings:
        """The same for the engine, with so many rows."""
        if not self.epochs > 0:
            raise InputError(f"epochs is {self.epochs}: give a positive number.")
        return TrainingSettings(
            self.space,
            steps=max(1, math.ceil(rows * self.epochs / max(1, self.batch_size))),
            batch_size=self.batch_size,
            batch_parts=self.batch_parts,
            sampling=self.sampling,
            in_place=self.in_place,
            random_samples=self.random_samples,
            learning_rate=self.learning_rate,
            seed=self.seed,
            bf16=self.bf16,
        )


def finetune_elastic(
    superplm: SuperPLM,
    task: Task,
    source: str,
    settings: ElasticSettings,
    out: Path,
    *,
    vocabulary: Vocabulary,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> SuperPLM:
    """Fine-tune all slices on a task, but for rows held out to score them by.

    The same call resumes a run that was stopped, and reads one that is done. Where several
    processes make it (`torchrun`), they share the parts of each batch.

    Args:
        superplm: The starting point; left as it is.
        task: The task to learn.
        source: Where the task's rows are; see `Task.read`.
        settings: Settings of the run.
        out: Folder of the result: a SuperPLM with a head for the task.
        vocabulary: Vocabulary of the SuperPLM.
        progress: Called after every step.
        warn: Called before anything is trained with each remark on rows that were left out or
            corrected.

    Raises:
        InputError: Rows, settings or folder cannot be used.
        RunError: The loss became no number, or the disk is full.
    """
    given = task.read(source, "train")
    given.tell(warn)
    learnt, _ = hold_out(given, settings.seed)
    few = learnt.draw(settings.train_rows, settings.seed)
    length = with_changes(task.name, sequence_length=settings.sequence_length).sequence_length
    rows = TaskRows.of(task, few, vocabulary, length)
    torch.manual_seed(settings.seed)
    start = superplm.with_task_head(task.head, task.outputs, dropout=settings.dropout)
    training = settings.of_training(len(rows))
    prepare_output(out, directory=True)
    trained = train_superplm(
        start, rows, training, out, objective=TaskLearning(), progress=progress
    )
    if not leads():
        return trained
    vocabulary.save(out, positions=trained.config.max_position_embeddings)
    content = {
        "task": task.name,
        "seed": settings.seed,
        "sequence_length": length,
        "rows": learnt.sha256,
        "skipped_rows": learnt.skipped,
        "source": source if source.startswith(HUGGING_FACE) else str(Path(source).resolve()),
    }
    write_document(out / _TASK, content, kind=_KIND, format=_FORMAT)
    return trained


def task_of(folder: Path) -> str | None:
    """The task that a SuperPLM's folder was fine-tuned on; None where it was on none.

    Raises:
        BadFile: The folder's file on its task is damaged.
    """
    path = folder / _TASK
    if not path.is_file():
        return None
    return str(read_document(path, kind=_KIND, format=_FORMAT).get("task"))


def elastic_scorer(
    superplm: SuperPLM,
    folder: Path,
    source: str | None = None,
    *,
    bf16: bool = False,
    sequence_length: int | None = None,
) -> TaskScorer:
    """Scores slices on the rows that were held out when `folder` was made.

    Args:
        superplm: The SuperPLM that `folder` holds.
        folder: A folder that `finetune_elastic` made.
        source: The task's rows; where they were when `folder` was made, when None.
        bf16: Whether matrix products run in bfloat16.
        sequence_length: Tokens to which rows are cut, where that is less than in fine-tuning.

    Raises:
        InputError: The rows are not those that it was fine-tuned on, but for those held out.
        BadFile: The folder was not made by `finetune_elastic`.
    """
    known = read_document(folder / _TASK, kind=_KIND, format=_FORMAT)
    task, source = find_task(known["task"]), source or str(known["source"])
    learnt, held = hold_out(task.read(source, "train"), known["seed"])
    if learnt.sha256 != known["rows"]:
        raise InputError(
            f"{source} holds other training rows than {folder} was fine-tuned on, so that rows it "
            "knows would be among those to score by: give the same data."
        )
    length = min(known["sequence_length"], sequence_length or known["sequence_length"])
    words = TextModel.read(folder).vocabulary
    return TaskScorer(superplm, task, held, words, length, bf16=bf16)


class TaskScorer:
    """Scores slices of an elastically fine-tuned SuperPLM on labelled rows, by forward passes."""

    def __init__(
        self,
        superplm: SuperPLM,
        task: Task,
        rows: Examples,
        vocabulary: Vocabulary,
        sequence_length: int,
        *,
        bf16: bool = False,
    ) -> None:
        """Encode the rows once for all slices.

        Args:
            superplm: A SuperPLM with a head for the task.
            task: The task of that head.
            rows: Labelled rows that it has not learnt from.
            vocabulary: Vocabulary of the SuperPLM.
            sequence_length: Most tokens of a feature.
            bf16: Whether matrix products run in bfloat16.

        Raises:
            InputError: The SuperPLM has no head for this task.
        """
        if superplm.task_head != (task.head, task.outputs):
            raise InputError(
                f"The SuperPLM has {'no head' if superplm.task_head is None else 'another head'} "
                f"for {task.name}: make it with `atb superplm finetune --task {task.name}`."
            )
        self.task_name = task.name
        self._superplm, self._task, self._rows = superplm.eval(), task, rows
        self._vocabulary, self._sequence_length = vocabulary, sequence_length
        #: Hash of all that scores depend on beside the architecture and the weights.
        self.rows_sha256 = f"{task.name}:{rows.sha256}:{sequence_length}:{bf16}"
        self._bf16 = bf16

    @cached_property
    def _features(self) -> list[Feature]:
        """The rows, encoded once and only where they are scored."""
        return self._task.encode(self._rows, tokenizer_of(self._vocabulary), self._sequence_length)

    def parts(self) -> tuple[TaskScorer, TaskScorer | None]:
        """The same on an eighth of its rows, and on the rest where there is one."""
        count = len(self._rows)
        rough = set(range(min(ROUGH_EVERY // 2, count - 1), count, ROUGH_EVERY))
        rest = [row for row in range(count) if row not in rough]
        return self._on(sorted(rough)), self._on(rest) if rest else None

    def _on(self, rows: Sequence[int]) -> TaskScorer:
        return TaskScorer(
            self._superplm,
            self._task,
            self._rows.take(rows),
            self._vocabulary,
            self._sequence_length,
            bf16=self._bf16,
        )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def score(self, architecture: Architecture) -> dict[str, float]:
        """The task's scores of a slice, and its mean `loss` (not for questions)."""
        superplm = self._superplm

        def run(inputs: Inputs) -> tuple[Tensor, ...]:
            batch = batch_of_inputs(inputs)
            output = superplm(
                architecture, batch.input_ids, batch.attention_mask, batch.token_type_ids
            )
            return superplm.task_logits(architecture, output)

        with one_thread(), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            outputs = outputs_of(run, self._features, self._vocabulary.special.pad)
        scores = self._task.score(self._rows, self._features, outputs)
        if self._task.head == "classification":
            labels = torch.tensor([row["label"] for row in self._rows.rows])
            scores["loss"] = float(task_loss(torch.from_numpy(outputs[0]), labels))
        return scores
