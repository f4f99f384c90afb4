"""The front between latency and score, and how it grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from atb.search.candidate import Candidate

__all__ = ["front_of", "hypervolumes", "spread_over"]


def front_of(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those that nothing else beats in both latency and score, the fastest first.

    Pruned ones, whose score is only expected, are left out.
    """
    scored = [c for c in candidates if c.proxy is not None and not c.pruned]
    scored.sort(key=lambda c: (c.latency_seconds, -(c.proxy or 0.0)))
    front: list[Candidate] = []
    for candidate in scored:
        assert candidate.proxy is not None
        if not front or candidate.proxy > (front[-1].proxy or 0.0):
            front.append(candidate)
    return tuple(front)


def hypervolumes(candidates: Sequence[Candidate], limit_seconds: float) -> tuple[float, ...]:
    """How much of latency times score the front covers after each generation.

    The corner is the limit and the worst score of all; the largest box, from the fastest to the
    limit and from the worst score to the best, has volume 1. Latencies are the predicted ones, so
    that what was measured in the end does not change the past.

    Args:
        candidates: All scored ones, with the generation in which they were; pruned ones, whose
            score is only expected, cover nothing.
        limit_seconds: The limit; what is slower covers nothing.
    """
    points = np.array(
        [
            (c.generation, c.predicted_seconds, c.proxy)
            for c in candidates
            if c.proxy is not None and not c.pruned
        ]
    )
    if not len(points):
        return ()
    generations, latency, score = points.T
    width, height = limit_seconds - latency.min(), float(np.ptp(score))
    if width <= 0 or height <= 0:
        return (0.0,) * int(generations.max())
    cost = np.minimum((limit_seconds - latency) / width, 1.0)  # 1 for the fastest, 0 at the limit
    gain = (score - score.min()) / height
    return tuple(
        _covered(cost[generations <= last], gain[generations <= last])
        for last in range(1, int(generations.max()) + 1)
    )


def _covered(
    cost: np.ndarray[tuple[int], np.dtype[np.float64]],
    gain: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float:
    """Area of the union of boxes from the origin to each point, both to be large."""
    volume, reached = 0.0, 0.0
    for place in np.lexsort((-gain, -cost)):  # the fastest first
        if cost[place] > 0 and gain[place] > reached:
            volume += float(cost[place] * (gain[place] - reached))
            reached = float(gain[place])
    return volume


def spread_over(front: Sequence[Candidate], count: int) -> list[Candidate]:
    """At most `count` of a front, evenly by their order, its ends included."""
    if len(front) <= count:
        return list(front)
    places = np.linspace(0, len(front) - 1, count).round().astype(int)
    return [front[place] for place in dict.fromkeys(places.tolist())]
