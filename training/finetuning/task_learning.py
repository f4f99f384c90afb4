"""A task as the engine of one-shot training sees it: its rows, and its loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from atb.data.tasks import Examples, Feature, Task
from atb.data.tokenizer import Vocabulary, tokenizer_of
from atb.errors import InputError
from atb.models import SearchSpace
from atb.models.superplm import SuperPLM
from atb.training import Batch, DistillationTarget, Outcome, Student
from atb.training.finetuning.prediction import Inputs, collated


@dataclass(frozen=True)
class TaskRows:
    """Features of a task, as the engine reads a text: in an order that seed and epoch determine.

    Attributes:
        features: What a model reads of each row, with labels.
        pad: Number of the padding token.
        vocabulary_size: Every token lies below it.
        sequence_length: Tokens of the longest feature.
        sha256: Hash of the rows they came from.
    """

    features: tuple[Feature, ...]
    pad: int
    vocabulary_size: int
    sequence_length: int
    sha256: str

    @classmethod
    def of(
        cls, task: Task, rows: Examples, vocabulary: Vocabulary, sequence_length: int
    ) -> TaskRows:
        """Features of rows, to learn from."""
        features = task.encode(rows, tokenizer_of(vocabulary), sequence_length)
        return cls(
            tuple(features),
            vocabulary.special.pad,
            len(vocabulary),
            max(len(feature["input_ids"]) for feature in features),
            rows.sha256,
        )

    def __len__(self) -> int:
        """Number of features."""
        return len(self.features)

    def order(self, epoch: int, seed: int) -> npt.NDArray[np.int64]:
        """All numbers of features, shuffled in a way that `epoch` and `seed` alone determine."""
        return np.random.default_rng([seed, epoch]).permutation(len(self)).astype(np.int64)

    def lengths_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
        """Tokens of some features, [len(rows)]."""
        return np.array([len(self.features[row]["input_ids"]) for row in rows])

    def batch_of(
        self,
        rows: npt.NDArray[np.int64],
        mask_probability: float,
        rng: np.random.Generator,
    ) -> Batch:
        """Some features; none of their words are hidden."""
        return batch_of_inputs(collated([self.features[row] for row in rows], self.pad))


def batch_of_inputs(inputs: Inputs) -> Batch:
    """What a SuperPLM reads of a batch of features."""
    wanted = [inputs[name] for name in _WANTED if name in inputs]
    return Batch(
        inputs["input_ids"],
        inputs["attention_mask"],
        token_type_ids=inputs.get("token_type_ids"),
        wanted=tuple(wanted),
    )


_WANTED = ("labels", "start_positions", "end_positions")


@dataclass(frozen=True, slots=True)
class TaskLearning:
    """The loss of a task: cross entropy of classes or of an answer's ends, or squared error.

    Against a target, which only a larger sub-model can be here, its probabilities (or its number)
    stand in for the labels (in-place distillation; Yu and Huang, 2019).

    Attributes:
        mask_probability: Zero: no words are masked.
        wants_attention: False: attention states are not read.
    """

    mask_probability: float = field(default=0.0, init=False)
    wants_attention: bool = field(default=False, init=False)

    def check(self, superplm: SuperPLM, space: SearchSpace) -> None:
        """Refuse a SuperPLM without a head for a task by an InputError."""
        if superplm.task_head is None:
            raise InputError("This SuperPLM has no head for a task: give it one first.")

    def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
        """Nothing is shared."""
        return None

    def score(self, student: Student, target: DistillationTarget | None) -> Outcome:
        """Mean over the batch, and over the outputs of the head."""
        logits = [
            tensor.float()
            for tensor in student.superplm.task_logits(student.architecture, student.output)
        ]
        targets = target.task_logits if target is not None else ()
        if len(logits) == 2:  # an answer's ends are tokens, and padding is none
            padding = student.batch.attention_mask == 0
            logits = [tensor.masked_fill(padding, _NEVER) for tensor in logits]
        losses = [
            task_loss(found, wanted, targets[place] if targets else None)
            for place, (found, wanted) in enumerate(zip(logits, student.batch.wanted, strict=True))
        ]
        detached = tuple(tensor.detach() for tensor in logits)
        return Outcome(torch.stack(losses).mean(), DistillationTarget(task_logits=detached))


_NEVER = -1e4


def task_loss(logits: Tensor, wanted: Tensor, target: Tensor | None = None) -> Tensor:
    """Mean loss of one output of a head, [batch, ...], against labels or a larger slice's."""
    if logits.shape[-1] == 1:
        wanted = wanted[:, None] if target is None else target
        return functional.mse_loss(logits, wanted.float())
    return functional.cross_entropy(logits, wanted if target is None else target.softmax(-1))
