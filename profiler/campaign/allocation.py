"""What to measure next: where another launch helps most, and how many blocks it should hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from atb.profiler import Subject
from atb.profiler.statistics import MOST_SLOWDOWN, Measurement

__all__ = ["Wanted", "crosses", "next_round"]

#: What one launch costs for one model beside its blocks: loading, and settling caches.
_LAUNCH_SECONDS = 0.1
#: Launches of which the blocks are told apart from the launches themselves.
_FEWEST_FOR_COMPONENTS = 3
_MOST_BLOCKS = 6
#: Of the width that is wanted: where launches contribute less, others do not make it narrower.
_LAUNCHES_SHARE = 0.7
#: Half width, as a share, at which it is no longer asked on which side of a limit a latency lies.
_FINEST = 0.005


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subject that needs another launch.

    Attributes:
        subject: Which.
        blocks: To time in it.
        cost_seconds: Of all launches that it is expected to need still.
    """

    subject: Subject
    blocks: int
    cost_seconds: float


def crosses(m: Measurement, limit_seconds: float) -> bool:
    """Whether the latency meets the limit, and the interval does not."""
    return m.latency_seconds <= limit_seconds < m.interval_seconds[1]


def next_round(
    measurements: Iterable[Measurement],
    *,
    within: float | None,
    blocks: int,
    limit_seconds: float | None = None,
) -> list[Wanted]:
    """The subjects that need another launch, the one that gets done for the least time first.

    With a limited budget this order gets most subjects to the precision asked for.

    Args:
        measurements: What is known of each.
        within: Half width of the interval that is wanted, as a share; None asks only that enough
            was timed while the machine was near its level.
        blocks: Of a launch as long as little is known.
        limit_seconds: With `within`, what the latency is held against: of one that lies above it
            with its whole interval nothing more is wanted, and one that meets it while its interval
            crosses it is wanted as precisely as it is near.
    """
    wanted = []
    for m in measurements:
        width = within
        if within is not None and limit_seconds is not None:
            if m.interval_seconds[0] > limit_seconds:
                continue
            if crosses(m, limit_seconds):
                width = min(within, max(limit_seconds / m.latency_seconds - 1, _FINEST))
        need = _launches_needed(m, width)
        if need:
            count = _blocks_a_launch(m, blocks)
            cost = need * (_LAUNCH_SECONDS + count * _block_seconds(m))
            wanted.append(Wanted(m.subject, count, cost))
    return sorted(wanted, key=lambda w: w.cost_seconds)


def _launches_needed(m: Measurement, within: float | None) -> int:
    """What comes from how launches differ shrinks with their root; what corrections leave does not.

    Where corrections alone take up the width that is wanted, launches are added until they no
    longer matter beside them, and no further.
    """
    if within is not None and m.estimate.relative_half_width > within:
        corrections = m.estimate.correction_half_width
        launches = math.sqrt(max(m.estimate.relative_half_width**2 - corrections**2, 0.0))
        wanted = max(math.sqrt(max(within**2 - corrections**2, 0.0)), _LAUNCHES_SHARE * within)
        if launches > wanted:
            return max(1, math.ceil(m.launches * ((launches / wanted) ** 2 - 1)))
    return int(max(abs(m.slowdown - 1), abs(m.pressure)) > MOST_SLOWDOWN)


def _block_seconds(m: Measurement) -> float:
    return float(np.median([sum(record.readings.wall_seconds) for record in m.blocks]))


def _blocks_a_launch(m: Measurement, usual: int) -> int:
    """As many as make the interval narrow for the least time, by the spread that was seen.

    With a spread b between the blocks of a launch and l between launches, whose costs are c_b and
    c_l, the best number is b / l * sqrt(c_l / c_b) (Cochran, Sampling Techniques, 1977, 10.6).
    """
    launches: dict[int, list[float]] = {}
    for record in m.kept:
        value = float(np.median(record.readings.wall_seconds))
        launches.setdefault(record.launch, []).append(math.log(value))
    # a median, since one burst is no spread; over that of chi-square (Wilson and Hilferty, 1931)
    inside = [
        float(np.var(values, ddof=1)) / (1 - 2 / (9 * (len(values) - 1))) ** 3
        for values in launches.values()
        if len(values) > 1
    ]
    if len(launches) < _FEWEST_FOR_COMPONENTS or not inside:
        return usual
    block = float(np.median(inside))
    means = [float(np.mean(values)) for values in launches.values()]
    launch = max(float(np.var(means, ddof=1)) - block / usual, 1e-12)
    best = math.sqrt(block / launch * _LAUNCH_SECONDS / _block_seconds(m))
    return min(max(round(best), 2), _MOST_BLOCKS)
