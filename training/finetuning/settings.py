"""Settings of fine-tuning; for the tasks of GLUE and SQuAD they are AutoTinyBERT's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from atb.errors import InputError


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How a model is fine-tuned.

    Attributes:
        epochs: Passes over the training rows.
        sequence_length: Most tokens of a feature.
        learning_rate: Peak of the learning rate, before the linear decay to zero.
        batch_size: Features in a step.
        evaluation_steps: Steps from one scoring of the held-out rows to the next.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Weight decay of matrices; biases and LayerNorm have none.
        dropout: Share of hidden states, attention weights and the head's input set to zero.
        seed: Determines the fresh head, the order of rows, dropout, and the rows held out.
        bf16: Whether matrix products run in bfloat16.
        train_rows: Only so many training rows, drawn by the seed; all when None.
    """

    epochs: float
    sequence_length: int
    learning_rate: float
    batch_size: int
    evaluation_steps: int
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.1
    seed: int = 0
    bf16: bool = False
    train_rows: int | None = None

    def __post_init__(self) -> None:
        positive = ("epochs", "sequence_length", "learning_rate", "batch_size", "evaluation_steps")
        for name in positive:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a positive number.")
        for name in ("warmup", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a share from 0 up to 1.")


#: AutoTinyBERT's settings by task, from its code; WNLI, which it leaves out, has RTE's.
_BY_TASK: dict[str, FineTuning] = {
    "cola": FineTuning(10, 64, 1e-5, 32, 50),
    "sst2": FineTuning(4, 64, 2e-5, 32, 100),
    "mrpc": FineTuning(10, 128, 2e-5, 32, 10),
    "stsb": FineTuning(10, 128, 3e-5, 32, 10),
    "qqp": FineTuning(5, 128, 2e-5, 32, 500),
    "mnli": FineTuning(4, 128, 3e-5, 32, 500),
    "qnli": FineTuning(10, 128, 2e-5, 32, 500),
    "rte": FineTuning(10, 128, 2e-5, 32, 10),
    "wnli": FineTuning(10, 128, 2e-5, 32, 10),
    "squad1": FineTuning(4, 384, 3e-5, 16, 500),
    "squad2": FineTuning(4, 384, 3e-5, 16, 500),
}


#: Of the tasks of other packages.
_OTHERS = FineTuning(10, 128, 2e-5, 32, 50)


def with_changes(task: str, **changes: Any) -> FineTuning:
    """A task's usual settings, but for those of the changes that are not None."""
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(_BY_TASK.get(task, _OTHERS), **given)
