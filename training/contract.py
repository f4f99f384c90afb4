"""The contract of a training objective, and what it scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from atb.models import Architecture, SearchSpace
from atb.models.superplm import SuperPLM, TinyBertOutput
from atb.training.teacher import AttentionStates, Batch, DistillationTarget, mean_pooled


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of running a sub-model on a batch.

    Attributes:
        loss: Number to be minimised, without dimensions.
        target: What smaller sub-models can learn from this one, without gradients; None where
            they learn from the data alone.
    """

    loss: Tensor
    target: DistillationTarget | None


@dataclass(frozen=True, slots=True)
class Student:
    """A sub-model that was run on a batch.

    Attributes:
        superplm: The SuperPLM that holds it.
        architecture: Shape of the slice.
        batch: Its input.
        output: Its hidden states, and attention states where they were asked for.
    """

    superplm: SuperPLM
    architecture: Architecture
    batch: Batch
    output: TinyBertOutput

    def projected(self) -> Tensor:
        """Hidden states in the teacher's space, [batch, length, width]."""
        assert self.output.last_hidden_state is not None
        return self.superplm.projected(self.architecture, self.output.last_hidden_state).float()

    def sentences(self) -> Tensor:
        """The mean of `projected` over the tokens of each sequence, [batch, width]."""
        assert self.output.last_hidden_state is not None
        pooled = mean_pooled(self.output.last_hidden_state.float(), self.batch.attention_mask)
        return self.superplm.projected(self.architecture, pooled).float()

    def vocabulary_logits(self) -> Tensor:
        """At the masked positions, [N, vocabulary]."""
        hidden = self.output.last_hidden_state
        assert hidden is not None
        return self.superplm.mlm_logits(self.architecture, hidden, self.batch.masked).float()

    def attention(self) -> AttentionStates | None:
        """Attention states of the last layer; None where the objective does not want them."""
        states = self.output.attention_states
        if states is None:
            return None
        return AttentionStates(states, self.architecture.heads, self.batch.attention_mask)


class Objective(Protocol):
    """A loss: `check` once, `prepare` for each batch, `score` for each sub-model that was run."""

    @property
    def mask_probability(self) -> float:
        """Share of the words to be masked."""
        ...

    @property
    def wants_attention(self) -> bool:
        """Whether sub-models are to tell queries, keys and values of their last layer."""
        ...

    def check(self, superplm: SuperPLM, space: SearchSpace) -> None:
        """Refuse a SuperPLM or a space without what the loss needs, before anything is written."""
        ...

    def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
        """What all sub-models of a batch share, when this share of the run is done."""
        ...

    def score(self, student: Student, target: DistillationTarget | None) -> Outcome:
        """Loss of a sub-model by its output; without a target it learns from the data alone."""
        ...


def outcome(
    objective: Objective,
    superplm: SuperPLM,
    architecture: Architecture,
    batch: Batch,
    target: DistillationTarget | None,
) -> Outcome:
    """Run a sub-model on a batch and score it."""
    output = superplm(
        architecture,
        batch.input_ids,
        batch.attention_mask,
        batch.token_type_ids,
        attention_states=objective.wants_attention,
    )
    return objective.score(Student(superplm, architecture, batch, output), target)
