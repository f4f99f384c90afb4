"""Options of the commands that train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atb.commands.arguments.groups import Options, option
from atb.commands.arguments.options import (
    DISTILLATION,
    TRAINING,
    Bfloat16,
    SequenceLengthOfTask,
    TorchThreads,
)
from atb.errors import InputError
from atb.training import ObjectiveName

if TYPE_CHECKING:
    from pathlib import Path

    from atb.data.corpus import TokenShards
    from atb.data.tokenizer import Vocabulary
    from atb.training import Objective


def use_threads(count: int | None) -> None:
    """Compute with so many threads from now on; None leaves it to PyTorch."""
    import torch

    if count is not None:
        torch.set_num_threads(count)


def require_teacher(objective: str, teacher: str | None) -> None:
    """Refuse to train one model on an objective that lacks its teacher.

    Raises:
        InputError: There is none, and it is not `mlm`.
    """
    if objective != "mlm" and teacher is None:
        raise InputError(f"--objective {objective} needs a --teacher, such as mini.")


class DistillationOptions(Options, panel=DISTILLATION):
    """What training aims at, and the teacher."""

    objective: ObjectiveName = option(
        default="kd",
        metavar="NAME",
        help="Learn masked words (`mlm`), a teacher's last layer (`kd`), its vectors of sentences "
        "(`sentences`), how its tokens relate (`relations`), or masked words while a teacher's "
        "share fades (`inherit`).",
    )
    teacher: str | None = option(
        default=None,
        metavar="DIR|NAME",
        help="Learn from this teacher: a folder of a BERT or ELECTRA encoder, its name on the "
        "hub, or a SuperPLM; `atb superplm train` takes the SuperPLM itself by default.",
    )
    attention_weight: float | None = option(
        default=None,
        min=0.0,
        help="Weigh the attention term by this factor; by default 1 in `kd` and 0 in `sentences`. "
        "Use 0 if the teacher's heads have another order.",
    )
    hidden_weight: float | None = option(
        default=None,
        min=0.0,
        help="Weigh the squared error of hidden states by this factor; by default 1 in `kd` and "
        "0 in `sentences`.",
    )
    sentence_weight: float | None = option(
        default=None,
        min=0.0,
        help="Weigh one minus the cosine to the teacher's vector of a sequence by this factor; by "
        "default 0 in `kd` and 1 in `sentences`.",
    )
    similarity_weight: float | None = option(
        default=None,
        min=0.0,
        help="Weigh the squared error of the cosines between the sequences of a batch by this "
        "factor; by default 0 in `kd` and 10 in `sentences`.",
    )
    relation_heads: int | None = option(
        default=None, min=1, help="Compare at most this many heads in `relations`; by default 12."
    )
    annealed: float | None = option(
        default=None,
        help="Fade the teacher of `inherit` over this fraction of the run; by default over "
        "all of it.",
    )

    def make(
        self, start: Any, vocabulary: Vocabulary, cache: tuple[TokenShards, Path] | None = None
    ) -> Objective:
        """The objective of a training; see `objective_of`."""
        from atb.training.one_shot import objective_of

        return objective_of(
            self.objective,
            start,
            vocabulary,
            self.teacher,
            weights={
                term: weight
                for term in ("hidden", "attention", "sentence", "similarity")
                if (weight := getattr(self, f"{term}_weight")) is not None
            },
            relation_heads=self.relation_heads,
            annealed=self.annealed,
            cache=cache,
        )


class TrainingOptions(Options, panel=TRAINING):
    """How long and how fast to train on text."""

    steps: int = option(default=1000, help="Train for this many steps.")
    batch: int = option(default=16, help="Learn from this many sequences in a step.")
    learning_rate: float = option(default=1e-4, help="Rise to this learning rate, then decay.")
    bf16: Bfloat16 = False
    threads: TorchThreads = None


class SubModelOptions(Options, panel="Sub-models"):
    """Which slices of a SuperPLM learn in a step."""

    in_place: bool = option(
        "--in-place",
        default=False,
        help="Train the largest sub-model of `sandwich` on the objective, and the others on "
        "its outputs.",
    )
    batch_parts: int = option(
        default=1,
        help="Split a batch into this many parts, each with sub-models of its own; at least "
        "one for each process that torchrun starts.",
    )
    random_samples: int = option(
        default=2, help="Train this many random sub-models on each part of a batch."
    )


class FineTuningOptions(Options, panel=TRAINING):
    """How to learn a task; what is None is as the task has it by default."""

    epochs: float | None = option(
        default=None,
        help="Go this many times over the rows (epochs); by default the task's own number.",
    )
    batch: int | None = option(
        default=None, help="Learn from this many rows in a step; by default the task's own."
    )
    sequence_length: SequenceLengthOfTask = None
    learning_rate: float | None = option(
        default=None, help="Rise to this learning rate, then decay; by default the task's own."
    )
    dropout: float | None = option(
        default=None, min=0.0, help="Drop this fraction of activations; by default the task's own."
    )
    train_rows: int | None = option(
        default=None, min=1, help="Learn from this many rows only; by default from all."
    )
    bf16: Bfloat16 = False
    threads: TorchThreads = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a fine-tuning by name; None for the task's own."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch,
            "sequence_length": self.sequence_length,
            "learning_rate": self.learning_rate,
            "dropout": self.dropout,
            "train_rows": self.train_rows,
            "bf16": self.bf16,
        }
