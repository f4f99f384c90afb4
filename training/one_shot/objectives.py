"""Losses of one-shot training: masked words, a teacher's last layer, or both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from atb.errors import InputError
from atb.models import SearchSpace
from atb.models.superplm import SuperPLM
from atb.training import Batch, DistillationTarget, Outcome, Student, Teacher, mean_pooled


@dataclass(frozen=True, slots=True)
class MaskedLanguageModelling:
    """Cross entropy at the masked positions; vocabulary logits are made nowhere else.

    Against a target, which only a larger sub-model can be here, its probabilities stand in for
    the words (in-place distillation; Yu and Huang, Universally Slimmable Networks, 2019).

    Attributes:
        mask_probability: Share of the words to be masked.
        wants_attention: False: attention states are not read.
    """

    mask_probability: float = 0.15
    wants_attention: bool = field(default=False, init=False)

    def check(self, superplm: SuperPLM, space: SearchSpace) -> None:
        """Refuse a SuperPLM without a masked-LM head by an InputError."""
        superplm.check_mlm_head()

    def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
        """Nothing is shared."""
        return None

    def score(self, student: Student, target: DistillationTarget | None) -> Outcome:
        """Mean cross entropy."""
        logits = student.vocabulary_logits()
        if target is None or target.vocabulary_logits is None:
            assert student.batch.labels is not None
            loss = functional.cross_entropy(logits, student.batch.labels[student.batch.masked])
        else:
            loss = functional.cross_entropy(logits, target.vocabulary_logits.softmax(-1))
        return Outcome(loss, DistillationTarget(vocabulary_logits=logits.detach()))


@dataclass(frozen=True, slots=True)
class Distillation:
    """Last-layer distillation: hidden states, attention logits and sentences of a teacher.

    A sentence is the mean of the projected hidden states over its tokens. What a model of sentences
    is for is which of them are alike: `similarity_weight` weighs just that, over all pairs of a
    part of a batch.

    The attention term pairs heads, so it counts only for sub-models with as many heads as the
    teacher (all of the `kd` space); the others learn from the hidden states alone. Where the
    SuperPLM was initialised from its teacher, its heads are in another order than the encoder's:
    `Teacher.of(superplm)`, taken before training, has the same weights in the same order.

    Attributes:
        teacher: The encoder whose output is the target.
        hidden_weight: Weight of the squared error of hidden states, mean over all their numbers.
        attention_weight: Weight of the squared error of attention logits.
        sentence_weight: Weight of one minus the cosine of a sentence to the teacher's.
        similarity_weight: Weight of the squared error of the cosines between the sentences of a
            part of a batch, mean over its pairs.
        mask_probability: Zero: no words are masked.
    """

    teacher: Teacher
    hidden_weight: float = 1.0
    attention_weight: float = 1.0
    sentence_weight: float = 0.0
    similarity_weight: float = field(default=0.0, metadata={"told": "where it is not zero"})
    mask_probability: float = 0.0

    @classmethod
    def of_sentences(cls, teacher: Teacher) -> Distillation:
        """The one for sentences alone: their vectors, and which of them are alike."""
        return cls(
            teacher,
            hidden_weight=0.0,
            attention_weight=0.0,
            sentence_weight=1.0,
            similarity_weight=10.0,
        )

    @property
    def wants_tokens(self) -> bool:
        """Whether anything but sentences is compared."""
        return self.hidden_weight > 0 or self.attention_weight > 0

    @property
    def wants_attention(self) -> bool:
        """Where attention has a weight."""
        return self.attention_weight > 0

    def check(self, superplm: SuperPLM, space: SearchSpace) -> None:
        """Refuse a teacher of another width, vocabulary, or head count.

        Raises:
            InputError: The SuperPLM does not project into the teacher's space, or no architecture
                has heads to pair with the teacher's.
        """
        _check_words(self.teacher, superplm)
        weights = (self.hidden_weight, self.attention_weight)
        if not any((*weights, self.sentence_weight, self.similarity_weight)):
            raise InputError("All weights of the distillation are 0: give one that is above 0.")
        if superplm.config.projection_size != self.teacher.hidden_size:
            raise InputError(
                f"The teacher is {self.teacher.hidden_size} wide and the SuperPLM projects to "
                f"{superplm.config.projection_size}: make it with --projection "
                f"{self.teacher.hidden_size}."
            )
        if self.wants_attention and self.teacher.heads not in space.heads.values:
            raise InputError(
                f"The teacher has {self.teacher.heads} heads and no architecture of the space "
                f"{space.name} has: use --objective relations, or --attention-weight 0."
            )

    def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
        """The teacher's output, once for all sub-models."""
        if not self.wants_tokens:
            return DistillationTarget(sentences=self.teacher.sentences(batch))
        target = self.teacher(batch, attention=self.wants_attention)
        assert target.hidden is not None
        return replace(target, sentences=mean_pooled(target.hidden, batch.attention_mask))

    def score(self, student: Student, target: DistillationTarget | None) -> Outcome:
        """Weighted sum of the terms."""
        assert target is not None, "distillation needs the teacher's output"
        assert target.sentences is not None
        mask, projected = student.batch.attention_mask, None
        loss = target.sentences.new_zeros(())
        if self.wants_tokens:
            assert target.hidden is not None
            projected = student.projected()
            loss = loss + self.hidden_weight * hidden_error(projected, target.hidden, mask)
            pooled = mean_pooled(projected, mask)
        else:
            pooled = student.sentences()
        if self.sentence_weight:
            cosine = functional.cosine_similarity(pooled, target.sentences, dim=-1)
            loss = loss + self.sentence_weight * (1 - cosine).mean()
        if self.similarity_weight:
            error = functional.mse_loss(_cosines(pooled), _cosines(target.sentences))
            loss = loss + self.similarity_weight * error
        own = student.attention()
        if own is not None and target.attention is not None and own.heads == target.attention.heads:
            error = functional.mse_loss(own.logits, target.attention.logits)
            loss = loss + self.attention_weight * error
        states = None if projected is None else projected.detach()
        return Outcome(loss, DistillationTarget(states, pooled.detach(), own and own.detached()))


@dataclass(frozen=True, slots=True)
class RelationDistillation:
    """How tokens relate by queries, keys and values of the last layer (MiniLMv2, 2021).

    Their widths are cut into relation heads, as many for the teacher as for the sub-model, so that
    neither head counts nor widths need be equal, and no projection is needed.

    Attributes:
        teacher: The encoder whose output is the target.
        relation_heads: The most; fewer where they do not divide both widths.
        mask_probability: Zero: no words are masked.
        wants_attention: True: attention states are read.
    """

    teacher: Teacher
    relation_heads: int = 12
    mask_probability: float = 0.0
    wants_attention: bool = field(default=True, init=False)

    def check(self, superplm: SuperPLM, space: SearchSpace) -> None:
        """Refuse a teacher of another vocabulary, or no relation heads, by an InputError."""
        _check_words(self.teacher, superplm)
        if self.relation_heads < 1:
            raise InputError(f"--relation-heads is {self.relation_heads}: give at least 1.")

    def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
        """The teacher's output, once for all sub-models."""
        return self.teacher(batch, attention=True)

    def score(self, student: Student, target: DistillationTarget | None) -> Outcome:
        """Mean Kullback-Leibler divergence over the three relations, heads and tokens."""
        own = student.attention()
        assert own is not None
        assert target is not None and target.attention is not None  # noqa: PT018
        heads = _common_heads(own.width, target.attention.width, self.relation_heads)
        divergence = functional.kl_div(
            own.relations(heads).log_softmax(-1),
            target.attention.relations(heads).log_softmax(-1),
            reduction="none",
            log_target=True,
        ).sum(-1)  # [3, B, R, T]
        mask = student.batch.attention_mask
        loss = (divergence * mask[:, None, :]).sum() / (3 * heads * mask.sum())
        return Outcome(loss, DistillationTarget(attention=own.detached()))


@dataclass(frozen=True, slots=True)
class LogitDistillation:
    """What a teacher's masked-LM head says of the hidden words (Hinton et al., 2015).

    Attributes:
        teacher: An encoder with a masked-LM head.
        temperature: Divides the logits on both sides.
        mask_probability: Share of the words to be masked.
        wants_attention: False: attention states are not read.
    """

    teacher: Teacher
    temperature: float = 2.0
    mask_probability: float = 0.15
    wants_attention: bool = field(default=False, init=False)

    def check(self, superplm: SuperPLM, space: SearchSpace) -> None:
        """Refuse a teacher or a SuperPLM without a masked-LM head.

        Raises:
            InputError: One of them has none, or they have other vocabularies.
        """
        superplm.check_mlm_head()
        _check_words(self.teacher, superplm)
        if not self.teacher.has_head:
            raise InputError(
                "The teacher has no masked-LM head: learn from its relations, or choose another."
            )

    def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
        """The teacher's output, once for all sub-models."""
        return self.teacher(batch, vocabulary_logits=True)

    def score(self, student: Student, target: DistillationTarget | None) -> Outcome:
        """Mean Kullback-Leibler divergence, times the square of the temperature."""
        assert target is not None and target.vocabulary_logits is not None  # noqa: PT018
        logits = student.vocabulary_logits()
        divergence = functional.kl_div(
            (logits / self.temperature).log_softmax(-1),
            (target.vocabulary_logits / self.temperature).log_softmax(-1),
            reduction="batchmean",
            log_target=True,
        )
        return Outcome(
            self.temperature**2 * divergence, DistillationTarget(vocabulary_logits=logits.detach())
        )


@dataclass(frozen=True, slots=True)
class Inheritance:
    """Masked words, and distillation whose weight falls to zero.

    Knowledge Inheritance (Qin et al., 2021): the loss is (1 - w) of the masked-LM loss and w of the
    distillation loss, and w falls linearly from one to zero. The teacher may be smaller than the
    SuperPLM, equal or larger; once w is zero, it is not run any more.

    Attributes:
        distillation: The loss against the teacher.
        annealed: Share of the run after which w is zero.
        mask_probability: Share of the words to be masked, from both.
    """

    distillation: LogitDistillation | RelationDistillation | Distillation
    annealed: float = 1.0
    mask_probability: float = 0.15

    @property
    def wants_attention(self) -> bool:
        """Whether the distillation loss reads attention."""
        return self.distillation.wants_attention

    def check(self, superplm: SuperPLM, space: SearchSpace) -> None:
        """Refuse what either loss lacks.

        Raises:
            InputError: Something is missing, or the share is none.
        """
        if not 0 < self.annealed <= 1:
            raise InputError(f"--annealed is {self.annealed}: give a share above 0 and at most 1.")
        self._own.check(superplm, space)
        self.distillation.check(superplm, space)

    def prepare(self, batch: Batch, done: float = 0.0) -> DistillationTarget | None:
        """The teacher's output with its present weight; None once that is zero."""
        weight = 1 - done / self.annealed
        if weight <= 0:
            return None
        target = self.distillation.prepare(batch, done)
        assert target is not None
        return replace(target, weight=weight)

    def score(self, student: Student, target: DistillationTarget | None) -> Outcome:
        """The weighted sum."""
        own = self._own.score(student, None)
        if target is None:
            return replace(own, target=None)
        distilled = self.distillation.score(student, target)
        loss = (1 - target.weight) * own.loss + target.weight * distilled.loss
        assert distilled.target is not None
        return Outcome(loss, replace(distilled.target, weight=target.weight))

    @property
    def _own(self) -> MaskedLanguageModelling:
        return MaskedLanguageModelling(self.mask_probability)


def _common_heads(width: int, other: int, most: int) -> int:
    """The largest number up to `most` that divides both widths."""
    common = math.gcd(width, other)
    return max(heads for heads in range(1, most + 1) if common % heads == 0)


def _check_words(teacher: Teacher, superplm: SuperPLM) -> None:
    if teacher.vocabulary_size != superplm.config.vocab_size:
        raise InputError(
            f"The teacher has a vocabulary of {teacher.vocabulary_size} and the SuperPLM of "
            f"{superplm.config.vocab_size}: choose a teacher with the SuperPLM's vocabulary."
        )


def hidden_error(states: Tensor, wanted: Tensor, attention_mask: Tensor) -> Tensor:
    """Squared error of hidden states [B, T, H], mean over dimensions and tokens but padding."""
    by_token = (states - wanted).square().mean(-1)  # [B, T]
    return (by_token * attention_mask).sum() / attention_mask.sum()


def _cosines(sentences: Tensor) -> Tensor:
    """Between all sentences of a batch: [B, W] -> [B, B]."""
    directions = functional.normalize(sentences, dim=-1)
    with torch.autocast(directions.device.type, enabled=False):  # bfloat16 tells them to 1/256
        return directions @ directions.T
