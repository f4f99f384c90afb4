"""Which sub-models a training step trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from atb.models import Architecture, SearchSpace

#: `uniform` is the paper's; `sandwich` adds the largest and the smallest to every draw; `anchored`
#: adds the largest to every fourth, so that it stays what it was at little cost.
Sampling = Literal["uniform", "sandwich", "anchored"]
_ANCHORED_EVERY = 4


def sampled_architectures(
    space: SearchSpace | Sequence[Architecture],
    sampling: Sampling,
    count: int,
    *,
    seed: int,
    step: int,
    part: int,
) -> list[Architecture]:
    """The sub-models for one part of one batch.

    They follow from the arguments alone, so a resumed run draws the same, and two processes that
    hold different parts draw different ones (the reference's processes all drew the same).

    Args:
        space: The space to draw from; or a list, of which a sandwich cannot be made.
        sampling: Whether the largest and the smallest are added, and how often.
        count: Number of random ones.
        seed: Seed of the run.
        step: Number of the training step.
        part: Number of the part of the batch.
    """
    rng = np.random.default_rng([seed, step, part])
    if not isinstance(space, SearchSpace):
        places = rng.choice(len(space), min(count, len(space)), replace=False)
        return [space[place] for place in places]
    drawn = space.sample(rng, min(count, space.size))
    if sampling == "sandwich":
        return [space.largest, space.smallest, *drawn]
    if sampling == "anchored" and (step + part) % _ANCHORED_EVERY == 0:
        return [space.largest, *drawn]
    return drawn
