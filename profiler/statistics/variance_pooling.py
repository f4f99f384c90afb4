"""How far launches differ, learned from all models of a campaign.

Four launches of one model say little about how far its launches differ, and Student's quantile
makes its interval pay for that. Twenty models of a campaign say more: their variances are taken as
drawn from one distribution, and each is moved towards its middle by as much as the others agree.
The interval then has the freedom of both. This is the moderated t of Smyth (2004, Linear models and
empirical Bayes methods for assessing differential expression, section 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PooledVariance", "pool_variances"]

#: Fewer models say nothing about how their variances differ.
_FEWEST_MODELS = 5
#: Freedom that others lend at most: beyond it Student's quantile no longer moves.
_MOST_FREEDOM = 60.0
#: Of logarithms of seconds; no clock and no cache repeats better.
_SMALLEST_VARIANCE = 1e-8


@dataclass(frozen=True, slots=True)
class PooledVariance:
    """What other models tell about the variance of a launch.

    Attributes:
        variance: Of the logarithm of a launch's value; the middle of their distribution.
        freedom: Degrees of freedom that this is worth.
    """

    variance: float
    freedom: float

    def moderate(self, values: npt.NDArray[np.float64]) -> tuple[float, float]:
        """Variance and freedom of these values, with what the others tell.

        Args:
            values: Logarithms, one for each launch; at least two.
        """
        own = len(values) - 1
        freedom = own + self.freedom
        total = own * float(values.var(ddof=1)) + self.freedom * self.variance
        return total / freedom, freedom


def pool_variances(models: Sequence[npt.NDArray[np.float64]]) -> PooledVariance | None:
    """Learn from the launches of many models; None of too few.

    Args:
        models: For each model the logarithms of its launches.
    """
    from scipy.special import digamma, polygamma

    used = [values for values in models if len(values) > 1]
    if len(used) < _FEWEST_MODELS:
        return None
    freedom = np.array([len(values) - 1 for values in used], dtype=float)
    variance = np.array([max(values.var(ddof=1), _SMALLEST_VARIANCE) for values in used])
    centred = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    mean = float(centred.mean())
    # what the logarithms of variances differ by beyond what few launches explain
    excess = float(centred.var(ddof=1) - polygamma(1, freedom / 2).mean())
    lent = min(2 * _inverse_trigamma(excess), _MOST_FREEDOM) if excess > 0 else _MOST_FREEDOM
    return PooledVariance(math.exp(mean + float(digamma(lent / 2)) - math.log(lent / 2)), lent)


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function has this value, by Newton's method on its inverse."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x
