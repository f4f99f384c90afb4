"""How wide an interval is: the conformal quantile of held-out errors, and wider off the support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atb.predictor.fitting.basis import Basis, Columns, FloatArray, Quantity, Rows

_TINY = 1e-9


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


@dataclass(frozen=True, slots=True)
class Support:
    """The range of the training rows in each quantity of a basis.

    Attributes:
        low: Smallest value of each quantity, float64[quantities].
        high: Largest value of each quantity, float64[quantities].
    """

    low: FloatArray
    high: FloatArray

    def __post_init__(self) -> None:
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise ValueError("the support is malformed")
        if not np.all(self.low <= self.high):
            raise ValueError("the support is empty")

    @classmethod
    def of(cls, basis: Basis, rows: Rows) -> Support:
        """The range of n rows, widened by what the true range exceeds that of a sample of n."""
        columns = basis.columns_of(rows)
        values = np.stack([quantity.of(columns) for quantity in basis.quantities])
        low, high = values.min(axis=1), values.max(axis=1)
        gap = (high - low) / max(1, len(rows) - 1)
        return cls(np.where(low > 0, np.maximum(low - gap, low / 2), low - gap), high + gap)

    def excess(self, quantities: Sequence[Quantity], columns: Columns) -> FloatArray:
        """Distance of each row from the range, float64[n].

        0 inside; of a positive quantity 1 at twice the upper end or half the lower one, of others
        1 where it is outside by the whole range.
        """
        total = np.zeros(len(columns[0]))
        for quantity, low, high in zip(quantities, self.low, self.high, strict=True):
            values = quantity.of(columns)
            if low > 0:
                # a value at or below zero is as far outside as one can be told to be
                total += np.maximum(values / high, 1) - 1
                total += np.maximum(low / np.maximum(values, low * _TINY), 1) - 1
            else:
                span = max(high - low, _TINY * max(abs(high), 1))
                total += np.maximum(np.maximum(values - high, low - values), 0) / span
        return total
