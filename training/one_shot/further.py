"""Further training: one-shot training in a space of a single architecture, or of some chosen."""

from __future__ import annotations

from pathlib import Path

from atb.data.corpus import TokenShards
from atb.models import Architecture, Dimension, SearchSpace
from atb.models.superplm import SuperPLM
from atb.training import Objective, TrainingSettings
from atb.training.one_shot.trainer import Progress, train_superplm


def space_of(*architectures: Architecture) -> SearchSpace:
    """The smallest space that holds all of these; one architecture alone has one of its own."""
    layers, hidden, heads, qkv, feed_forward = (
        Dimension(min(values), max(values))
        for values in zip(
            *((a.layers, a.hidden, a.heads, a.qkv, a.feed_forward) for a in architectures),
            strict=True,
        )
    )
    name = "+".join(str(architecture) for architecture in architectures)
    return SearchSpace(name, layers, hidden, heads, feed_forward, qkv=qkv)


def train_further(
    model: SuperPLM,
    text: TokenShards,
    out: Path,
    *,
    objective: Objective,
    steps: int,
    batch_size: int = 16,
    learning_rate: float = 1e-4,
    seed: int = 0,
    bf16: bool = False,
    by_length: bool = False,
    progress: Progress | None = None,
) -> SuperPLM:
    """Train a model as it is, with the engine of one-shot training.

    The same call resumes a run that was stopped, and reads one that is done.

    Args:
        model: A SuperPLM of its own shape; trained in place.
        text: Token shards in the model's vocabulary.
        out: Folder of the run.
        objective: The loss.
        steps: Optimiser steps in all.
        batch_size: Sequences in each step.
        learning_rate: Peak of the learning rate.
        seed: Determines order, masks and dropout.
        bf16: Whether matrix products run in bfloat16.
        by_length: Whether a batch is cut into parts of like length, four of them.
        progress: Called after every step.

    Raises:
        InputError: Text or folder do not fit.
        RunError: The loss became infinite or no number; the last checkpoint stays.
    """
    settings = TrainingSettings(
        space_of(model.architecture),
        steps=steps,
        batch_size=batch_size,
        sampling="uniform",
        random_samples=1,
        learning_rate=learning_rate,
        seed=seed,
        bf16=bf16,
        by_length=by_length,
        batch_parts=4 if by_length else 1,
    )
    return train_superplm(model, text, settings, out, objective=objective, progress=progress)
