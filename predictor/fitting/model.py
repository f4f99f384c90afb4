"""The fitted core, whatever its rows are: work terms, a learned factor, intervals, support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.predictor.fitting.basis import Basis, Columns, FloatArray, Rows
from atb.predictor.fitting.drift import Drift
from atb.predictor.fitting.intervals import Support
from atb.predictor.fitting.residual import Residual

#: Rows computed at a time: their columns stay in a cache, and memory is bounded.
_CHUNK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates of n rows.

    Attributes:
        values: Estimated values, float64[n].
        lower: Lower end of the interval, float64[n].
        upper: Upper end of the interval, float64[n].
        supported: Whether the row lies in the range of the training rows, bool[n]; where not, the
            interval is wider and its coverage is not promised.
    """

    values: FloatArray
    lower: FloatArray
    upper: FloatArray
    supported: npt.NDArray[np.bool_]

    @classmethod
    def exact(cls, values: FloatArray) -> Estimates:
        """Values whose intervals have no width."""
        return cls(values, values, values, np.ones(len(values), dtype=np.bool_))

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class WorkModel:
    """A value as a sum of work terms, times a learned factor where it was shown to help.

    A row's estimate does not depend on the rows estimated beside it, to the last bit.

    Attributes:
        basis: What adds up and what bends.
        coefficients: The value of one unit of each term, float64[terms], none negative.
        residual: The learned factor, or None.
        drift: How the device changed while it was measured, or None; estimates are of its level.
        coverage: Share of new measurements that the interval is to contain.
        interval_factor: The interval runs from value / factor to value * factor inside the
            support; its distance from 1 grows with `Support.excess` outside.
        timed_interval_factor: The same where it is known when a row is measured, so that the drift
            is known as well; equal where there is none.
        support: Range of the training rows.
    """

    basis: Basis
    coefficients: FloatArray
    residual: Residual | None
    drift: Drift | None
    coverage: float
    interval_factor: float
    timed_interval_factor: float
    support: Support

    def __post_init__(self) -> None:
        if self.coefficients.shape != (len(self.basis.terms),) or not np.all(
            np.isfinite(self.coefficients)
        ):
            raise ValueError("the coefficients of the work terms are malformed")
        if np.any(self.coefficients < 0) or not np.any(self.coefficients > 0):
            raise ValueError("a coefficient of a work term is negative, or all are zero")
        if self.support.low.shape != (len(self.basis.quantities),):
            raise ValueError("the support is malformed")
        factors = (self.interval_factor, self.timed_interval_factor)
        if not (0 < self.coverage < 1 and all(1 <= factor < np.inf for factor in factors)):
            raise ValueError("the interval is malformed")

    def estimate(self, rows: Rows, order: FloatArray | None = None) -> Estimates:
        """Estimate [n, columns], n of any size.

        Args:
            rows: Rows of the kind that the basis describes.
            order: When each is measured, in the unit of the training rows, float64[n]; None gives
                the device's level.
        """
        count = len(rows)
        values, lower, upper = np.empty(count), np.empty(count), np.empty(count)
        supported = np.empty(count, dtype=np.bool_)
        known = order is not None and self.drift is not None
        width = (self.timed_interval_factor if known else self.interval_factor) - 1
        # at least one pass, so that an empty array of the wrong shape is refused as well
        for start in range(0, max(count, 1), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            columns = self.basis.columns_of(rows[part])
            found = self.work(columns)
            if self.residual is not None:
                found *= self.residual.factor(columns)
            if order is not None and self.drift is not None:
                found *= self.drift.at(order[part])
            excess = self.support.excess(self.basis.quantities, columns)
            factor = 1 + width * (1 + excess)
            values[part], lower[part], upper[part] = found, found / factor, found * factor
            supported[part] = excess == 0
        return Estimates(values, lower, upper, supported)

    def work(self, columns: Columns) -> FloatArray:
        """The sum of the work terms without the learned factor, float64[n]."""
        total = np.zeros(len(columns[0]))
        for term, coefficient in zip(self.basis.terms, self.coefficients, strict=True):
            if coefficient:
                total += coefficient * term.amount(columns)
        return total
