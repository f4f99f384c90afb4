"""What a sub-model is trained towards: masked words, or the last layer of a teacher."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.superplm import SuperPLM

__all__ = [
    "Batch",
    "Distillation",
    "MaskedLanguageModelling",
    "Objective",
    "Target",
    "Teacher",
    "mean_pooled",
]

# Attention logits at or below this are padding; both sides read zero there (AutoTinyBERT's code).
_PADDED_LOGIT = -100.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Token numbers for one part of a training batch.

    Attributes:
        input_ids: [batch, length].
        attention_mask: [batch, length], 1 for tokens and 0 for padding.
        labels: [batch, length], the hidden words where some were masked and -100 elsewhere; None
            where nothing was masked.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A teacher's last layer.

    Attributes:
        hidden: [batch, length, teacher's hidden].
        attention_logits: [batch, heads, length, length], scaled, masked, before the softmax; None
            where they are not wanted.
    """

    hidden: Tensor
    attention_logits: Tensor | None


class Objective(Protocol):
    """A loss of sub-models: `check` once, `prepare` for each batch, `loss` for each sub-model."""

    @property
    def mask_probability(self) -> float:
        """Share of the words to be masked."""
        ...

    def check(self, superplm: SuperPLM) -> None:
        """Refuse a SuperPLM that lacks what the loss needs, before anything is written."""
        ...

    def prepare(self, batch: Batch) -> Target | None:
        """What all sub-models of a batch share."""
        ...

    def loss(
        self, superplm: SuperPLM, architecture: Architecture, batch: Batch, target: Target | None
    ) -> Tensor:
        """A number to make small."""
        ...


@dataclass(frozen=True, slots=True)
class MaskedLanguageModelling:
    """Cross entropy at the masked positions; vocabulary logits are made nowhere else.

    Attributes:
        mask_probability: Share of the words to be masked.
    """

    mask_probability: float = 0.15

    def check(self, superplm: SuperPLM) -> None:
        """Refuse a SuperPLM without a masked-LM head.

        Raises:
            InputError: It has none.
        """
        superplm.check_mlm_head()

    def prepare(self, batch: Batch) -> Target | None:
        """Nothing is shared."""
        return None

    def loss(
        self, superplm: SuperPLM, architecture: Architecture, batch: Batch, target: Target | None
    ) -> Tensor:
        """Mean cross entropy."""
        assert batch.labels is not None, "masked-LM needs masked batches"
        positions = batch.labels >= 0
        hidden = superplm.hidden_states(architecture, batch.input_ids, batch.attention_mask)
        logits = superplm.mlm_logits(architecture, hidden, positions)
        return functional.cross_entropy(logits.float(), batch.labels[positions])


class Teacher:
    """A frozen encoder with BERT's module names: BERT, ELECTRA, TinyBert."""

    def __init__(self, encoder: nn.Module) -> None:
        """Freeze an encoder; where it has a sentence projection, that is part of its output.

        Args:
            encoder: A transformers model; typed loosely, since BERT's names are all it needs.
        """
        self.encoder: Any = encoder.eval().requires_grad_(False)
        self._projection: nn.Module | None = getattr(encoder, "projection", None)

    @classmethod
    def of(cls, superplm: SuperPLM) -> Teacher:
        """A frozen copy of a whole SuperPLM, to teach its own slices."""
        return cls(superplm.extract(superplm.architecture))

    @property
    def hidden_size(self) -> int:
        """Width of what it teaches."""
        config = self.encoder.config
        width = config.hidden_size if self._projection is None else config.projection_size
        return int(width)

    @property
    def heads(self) -> int:
        """Attention heads of its last layer."""
        return int(self.encoder.config.num_attention_heads)

    @torch.no_grad()
    def __call__(self, batch: Batch, *, attention_logits: bool) -> Target:
        """Run it without gradients.

        Args:
            batch: The input.
            attention_logits: Whether the last layer's attention logits are wanted.
        """
        with _recorded(self.encoder.encoder.layer[-1].attention.self) as seen:
            hidden = self.encoder(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            ).last_hidden_state
        if self._projection is not None:
            hidden = self._projection(hidden)
        logits = None
        if attention_logits:
            query, key = (
                seen[name].float().view(*hidden.shape[:2], self.heads, -1).transpose(1, 2)
                for name in ("query", "key")
            )  # [B, A, T, D]
            logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
            padded = batch.attention_mask[:, None, None, :] == 0
            logits = logits.masked_fill(padded, torch.finfo(logits.dtype).min)
        return Target(hidden.float(), logits)


@contextlib.contextmanager
def _recorded(attention: Any) -> Iterator[dict[str, Tensor]]:
    """Record what the query and key layers of an attention module put out.

    Stock models do not tell their logits before the softmax.
    """
    seen: dict[str, Tensor] = {}

    def record(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, output: seen.update({name: output})

    hooks = [
        getattr(attention, name).register_forward_hook(record(name)) for name in ("query", "key")
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True, slots=True)
class Distillation:
    """Last-layer distillation: attention logits and projected hidden states of a teacher.

    The attention term pairs heads, so it counts only for sub-models with as many heads as the
    teacher (all of the `kd` space); the others learn from the hidden states alone. Where the
    SuperPLM was initialised from its teacher, its heads are in another order than the encoder's:
    `Teacher.of(superplm)`, taken before training, has the same weights in the same order.

    Attributes:
        teacher: Who teaches.
        hidden_weight: Of the squared error of hidden states, mean over tokens and dimensions.
        attention_weight: Of the squared error of attention logits.
        sentence_weight: Of one minus the cosine of mean-pooled states, for sentence encoders.
        mask_probability: Zero: a teacher shows whole text.
    """

    teacher: Teacher
    hidden_weight: float = 1.0
    attention_weight: float = 1.0
    sentence_weight: float = 0.0
    mask_probability: float = 0.0

    def check(self, superplm: SuperPLM) -> None:
        """Refuse a teacher of another width.

        Raises:
            InputError: The SuperPLM does not project into the teacher's space.
        """
        if superplm.config.projection_size != self.teacher.hidden_size:
            raise InputError(
                f"The teacher is {self.teacher.hidden_size} wide and the SuperPLM projects to "
                f"{superplm.config.projection_size}: make it with --projection "
                f"{self.teacher.hidden_size}."
            )

    def prepare(self, batch: Batch) -> Target | None:
        """The teacher's output, once for all sub-models."""
        return self.teacher(batch, attention_logits=self.attention_weight > 0)

    def loss(
        self, superplm: SuperPLM, architecture: Architecture, batch: Batch, target: Target | None
    ) -> Tensor:
        """Weighted sum of the terms."""
        assert target is not None, "distillation needs the teacher's output"
        paired = target.attention_logits is not None and architecture.heads == self.teacher.heads
        output = superplm(
            architecture, batch.input_ids, batch.attention_mask, attention_logits=paired
        )
        projected = superplm.projected(architecture, output.last_hidden_state).float()
        loss = self.hidden_weight * hidden_error(projected, target.hidden, batch.attention_mask)
        if self.sentence_weight:
            pooled = mean_pooled(projected, batch.attention_mask)
            taught = mean_pooled(target.hidden, batch.attention_mask)
            cosine = functional.cosine_similarity(pooled, taught, dim=-1)
            loss = loss + self.sentence_weight * (1 - cosine).mean()
        if paired:
            assert target.attention_logits is not None
            assert output.attention_logits is not None
            error = functional.mse_loss(
                _without_padding(output.attention_logits.float()),
                _without_padding(target.attention_logits),
            )
            loss = loss + self.attention_weight * error
        return loss


def hidden_error(states: Tensor, wanted: Tensor, attention_mask: Tensor) -> Tensor:
    """Squared error of hidden states [B, T, H], mean over dimensions and tokens but padding."""
    by_token = (states - wanted).square().mean(-1)  # [B, T]
    return (by_token * attention_mask).sum() / attention_mask.sum()


def mean_pooled(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean over tokens but padding: [B, T, H] -> [B, H]."""
    weights = attention_mask[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def _without_padding(logits: Tensor) -> Tensor:
    return torch.where(logits <= _PADDED_LOGIT, torch.zeros_like(logits), logits)
