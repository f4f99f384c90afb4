"""How many steps of one-shot training a budget of multiply-adds allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from atb.models.architecture import Architecture
from atb.training.sampling import sampled_architectures
from atb.training.settings import TrainingSettings

#: Draws the sub-models of a part of a step, as `sampled_architectures` does.
Draw = Callable[..., list[Architecture]]


def multiply_adds(
    settings: TrainingSettings, steps: int, tokens: int, draw: Draw = sampled_architectures
) -> float:
    """Of all that the first steps compute, on sequences of so many tokens."""
    return float(sum(itertools.islice(_of_steps(settings, tokens, draw), steps)))


def affordable(
    settings: TrainingSettings, budget: float, tokens: int, draw: Draw = sampled_architectures
) -> int:
    """Steps within a budget of multiply-adds."""
    total = 0.0
    for step, cost in enumerate(_of_steps(settings, tokens, draw)):
        total += cost
        if total > budget:
            return max(1, step)
    raise AssertionError


def _of_steps(settings: TrainingSettings, tokens: int, draw: Draw) -> Iterator[float]:
    """Of the sub-models three times, forward and backward, and of the teacher, the whole, once."""
    sequences = settings.batch_size / settings.batch_parts
    whole = settings.space.largest.multiply_adds(tokens)
    for step in itertools.count():
        cost = settings.batch_size * whole
        for part in range(settings.batch_parts):
            drawn = draw(
                settings.space,
                settings.sampling,
                settings.random_samples,
                seed=settings.seed,
                step=step,
                part=part,
            )
            cost += sequences * 3 * sum(a.multiply_adds(tokens) for a in drawn)
        yield cost
