"""Settings of a training run: all that its result depends on beside weights, text and teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, get_args

from atb.errors import InputError
from atb.models import Architecture, SearchSpace
from atb.training.sampling import Sampling


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a SuperPLM is trained.

    Attributes:
        space: Space of the sub-models.
        chosen: These alone are trained, where some are given; the space holds them.
        steps: Optimiser steps in all.
        batch_size: Sequences in each step.
        batch_parts: Parts that the batch is cut into; each part has sub-models of its own.
        sampling: Whether the largest and the smallest are added to random ones.
        by_length: Whether the sequences of a batch are put in order of length before it is cut
            into parts, so that little is padding.
        in_place: Whether the first sub-model of a sandwich, the largest, teaches the others.
        random_samples: Random sub-models for each part, beside those of the sandwich.
        learning_rate: Its peak, after warm-up and before the linear decay to zero.
        warmup_steps: Steps of linear warm-up, at most a tenth of all.
        weight_decay: On matrices; biases and LayerNorm have none.
        largest_norm: Gradients are scaled down to this norm.
        seed: Determines sub-models, order of the text, masks and dropout.
        bf16: Whether matrix products run in bfloat16.
        checkpoint_steps: Steps from one checkpoint to the next.
        log_steps: Steps from one line of the log to the next.
    """

    space: SearchSpace
    steps: int
    batch_size: int = 16
    batch_parts: int = 1
    sampling: Sampling = "sandwich"
    in_place: bool = False
    random_samples: int = 2
    learning_rate: float = 1e-4
    warmup_steps: int = 10_000
    weight_decay: float = 0.01
    largest_norm: float = 1.0
    seed: int = 0
    bf16: bool = False
    checkpoint_steps: int = 200
    log_steps: int = 10
    chosen: tuple[Architecture, ...] = ()
    by_length: bool = False

    def __post_init__(self) -> None:
        counts = (
            "steps",
            "batch_size",
            "batch_parts",
            "random_samples",
            "checkpoint_steps",
            "log_steps",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a positive number.")
        for name in ("learning_rate", "largest_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}: give a positive number.")
        if self.batch_size % self.batch_parts:
            raise InputError(
                f"{self.batch_parts} parts do not divide a batch of {self.batch_size} sequences."
            )
        if self.sampling not in get_args(Sampling):
            raise InputError(
                f"sampling is {self.sampling!r}: choose {', '.join(get_args(Sampling))}."
            )
        if self.chosen and self.sampling != "uniform":
            raise InputError("Chosen sub-models are drawn as they are: choose uniform sampling.")
        if self.in_place and self.sampling != "sandwich":
            raise InputError("In-place distillation needs the largest: choose sandwich sampling.")

    @property
    def warmup(self) -> int:
        """Steps of warm-up; small runs would otherwise end before their peak."""
        return min(self.warmup_steps, self.steps // 10)

    def to_json(self) -> dict[str, Any]:
        """All settings, to tell one run from another."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        # told where they are not as they always were, so that older runs go on
        del values["chosen"], values["by_length"]
        if self.chosen:
            values["chosen"] = [str(a) for a in self.chosen]
        if self.by_length:
            values["by_length"] = True
        return {**values, "space": self.space.to_json()}
