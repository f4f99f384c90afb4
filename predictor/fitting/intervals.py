"""How wide an interval is: the conformal quantile of errors on rows that were held out."""

from __future__ import annotations

import math

import numpy as np

from atb.predictor.fitting.basis import FloatArray

__all__ = ["conformal_rank", "interval_factor"]


def conformal_rank(coverage: float, rows: int) -> int:
    """Rank from 1 of the error, among those of `rows` rows, that bounds a new one this often.

    It is more than `rows` where they are too few for this coverage.
    """
    return math.ceil(round(coverage * (rows + 1), 9))


def interval_factor(errors: FloatArray, coverage: float) -> float:
    """The factor by which a prediction is multiplied and divided for the ends of its interval.

    Args:
        errors: Absolute logarithms of measured over predicted on rows held out, float64[n].
        coverage: Share of new measurements that the interval is to contain.

    Returns:
        The conformal quantile as a factor; of too few rows that of a normal distribution, with
        Student's widening.
    """
    rank = conformal_rank(coverage, len(errors))
    if rank <= len(errors):
        return math.exp(float(np.sort(errors)[rank - 1]))
    from scipy.special import stdtrit

    deviation = float(np.sqrt(np.mean(errors**2)))
    return math.exp(deviation * float(stdtrit(len(errors) - 1, (1 + coverage) / 2)))
