"""Tail percentiles of single runs, and only where there is enough to speak of them.

Runs of one launch share where its memory lies and what its process is like: a thousand runs of five
launches are no thousand independent ones. What is independent is a launch. Each shows a percentile
of its own runs, and the bound is the upper tolerance limit of these: a value below which that
percentile of almost any launch lies, by how the launches that were seen differ. Logarithms of
launches are taken as normal, so that a slow kind of launch that did not occur is not foreseen.

As many runs in all are demanded as by MLPerf's LoadGen (early stopping), below which not even
independent ones would say anything: 64 for the 90th and 662 for the 99th percentile.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

_CONFIDENCE = 0.99
#: Of fewer the limit lies so far out that it is of no use: of four at seven standard deviations.
FEWEST_LAUNCHES = 5


def percentile_bound(launches: Sequence[Sequence[float]], percentile: float) -> float | None:
    """A bound on a percentile of all runs that holds with 99 % confidence; None of too few.

    Args:
        launches: For each launch the seconds of its single runs; those with too few do not count.
        percentile: Such as 90 or 99.
    """
    share = percentile / 100
    fewest = math.ceil(share / (1 - share))  # in a launch, so that its quantile lies among its runs
    told = [runs for runs in launches if len(runs) >= fewest]
    if len(told) < FEWEST_LAUNCHES or sum(map(len, told)) < fewest_runs(percentile):
        return None
    # unbiased in its rank: a slow launch of few runs shall not look faster than it is
    logs = [float(np.quantile(np.log(runs), share, method="weibull")) for runs in told]
    deviation = float(np.std(logs, ddof=1))
    return math.exp(float(np.mean(logs)) + _tolerance_factor(len(logs), share) * deviation)


@functools.cache
def _tolerance_factor(launches: int, share: float) -> float:
    """Standard deviations from the mean to the limit below which a share of a normal lies.

    One-sided, with the confidence of the bound (Hahn and Meeker, Statistical Intervals, 1991, 4.6).
    """
    from scipy.stats import nct, norm

    root = math.sqrt(launches)
    return float(nct.ppf(_CONFIDENCE, launches - 1, float(norm.ppf(share)) * root)) / root


@functools.cache
def fewest_runs(percentile: float) -> int:
    """From how many runs on a percentile is told.

    Were the percentile higher, it would be a surprise that no more than one of so many is slower.
    """
    share, runs = percentile / 100, 1
    while share**runs + runs * (1 - share) * share ** (runs - 1) > 1 - _CONFIDENCE:
        runs += 1
    return runs
