"""Tail percentiles, and only where there are enough runs to speak of them.

The rule of MLPerf's LoadGen (early stopping): with n runs a percentile is bounded by the run that
is left when as many of the slowest are dropped as chance would allow with a confidence of 99 %.
Below 64 runs for the 90th and 662 for the 99th percentile not one may be dropped, and the slowest
run alone says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["fewest_runs", "tail_seconds"]

_CONFIDENCE = 0.99


def _droppable(runs: int, percentile: float) -> int:
    """How many of the slowest runs may be dropped; 0 where the percentile cannot be told."""
    from scipy.stats import binom

    # the most slow runs that so few would be a surprise for, were the percentile higher
    allowed = int(binom.ppf(1 - _CONFIDENCE, runs, 1 - percentile / 100))
    while allowed >= 0 and binom.cdf(allowed, runs, 1 - percentile / 100) > 1 - _CONFIDENCE:
        allowed -= 1
    return max(allowed, 0)


def tail_seconds(seconds: Sequence[float], percentile: float) -> float | None:
    """A bound on a percentile that holds with 99 % confidence; None of too few runs.

    Args:
        seconds: Of single runs.
        percentile: Such as 90 or 99.
    """
    dropped = _droppable(len(seconds), percentile)
    return sorted(seconds)[len(seconds) - 1 - dropped] if dropped else None


def fewest_runs(percentile: float) -> int:
    """From how many runs on a percentile is told."""
    runs = 1
    while not _droppable(runs, percentile):
        runs += 1
    return runs
