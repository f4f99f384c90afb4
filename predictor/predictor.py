"""What predicts latencies: the contract, an exact one for tests, and the fitted one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.predictor.features import (
    QUANTITIES,
    WORK_TERMS,
    Columns,
    FloatArray,
    IntArray,
    architecture_at,
    columns_of,
    rows_of,
)
from atb.predictor.residual import Residual
from atb.profiler.conditions import Conditions

__all__ = [
    "ExactPredictor",
    "LatencyPredictor",
    "Prediction",
    "Support",
    "TrainingSummary",
    "WorkPredictor",
    "require_conditions",
]

#: Rows computed at a time: their columns stay in a cache, and memory is bounded.
_CHUNK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted latencies of n architectures.

    Attributes:
        latency_seconds: float64[n].
        lower_seconds: Lower end of the interval, float64[n].
        upper_seconds: Upper end, float64[n].
        supported: Whether the architecture lies in the range of the training rows, bool[n];
            where not, the interval is wider and its coverage is not promised.
    """

    latency_seconds: FloatArray
    lower_seconds: FloatArray
    upper_seconds: FloatArray
    supported: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.latency_seconds)


@runtime_checkable
class LatencyPredictor(Protocol):
    """Tells latencies under one set of conditions; passes `atb.predictor.testing`."""

    @property
    def conditions(self) -> Conditions:
        """Under which the predicted latencies hold."""

    def predict(self, rows: IntArray) -> Prediction:
        """Predict int[n, 5] with the columns of `atb.models.space.FEATURES`, n of any size."""

    def predict_architectures(self, architectures: Sequence[Architecture]) -> Prediction:
        """The same for a few architectures."""


def require_conditions(predictor: LatencyPredictor, conditions: Conditions) -> None:
    """Make sure that a predictor holds under these conditions.

    Raises:
        InputError: It was fitted under others; the message says what differs.
    """
    if predictor.conditions != conditions:
        differences = "; ".join(predictor.conditions.differences(conditions))
        raise InputError(
            f"The predictor holds under other conditions than those asked for ({differences}): "
            "choose a predictor of these, or fit one with `atb profile` and `atb predictor train`."
        )


@dataclass(frozen=True, slots=True)
class ExactPredictor:
    """Knows the truth: search is tested on it.

    Attributes:
        conditions: Under which it holds.
        formula: From int[n, 5] to seconds, float64[n].
    """

    conditions: Conditions
    formula: Callable[[IntArray], FloatArray]

    @classmethod
    def of_latency(
        cls, conditions: Conditions, latency: Callable[[Architecture], float]
    ) -> ExactPredictor:
        """From a function of one architecture, such as that of a `FakeDevice`."""
        return cls(
            conditions,
            lambda rows: np.array([latency(architecture_at(row)) for row in rows], dtype=float),
        )

    def predict(self, rows: IntArray) -> Prediction:
        """Predict int[n, 5]; the interval has no width."""
        columns_of(rows[:0])
        seconds = self.formula(rows)
        return Prediction(seconds, seconds, seconds, np.ones(len(rows), dtype=np.bool_))

    def predict_architectures(self, architectures: Sequence[Architecture]) -> Prediction:
        """The same for a few architectures."""
        return self.predict(rows_of(architectures))


@dataclass(frozen=True, slots=True)
class Support:
    """The range of the training rows in each of `QUANTITIES`.

    Attributes:
        low: float64[quantities].
        high: float64[quantities].
    """

    low: FloatArray
    high: FloatArray

    def __post_init__(self) -> None:
        count = (len(QUANTITIES),)
        if self.low.shape != count or self.high.shape != count:
            raise ValueError("the support is malformed")
        if not (np.all(self.low > 0) and np.all(self.low <= self.high)):
            raise ValueError("the support is empty")

    @classmethod
    def of(cls, rows: IntArray) -> Support:
        """The range of n rows, widened by what the true range exceeds that of a sample of n."""
        columns = columns_of(rows)
        values = np.stack([quantity.of(columns) for quantity in QUANTITIES])
        low, high = values.min(axis=1), values.max(axis=1)
        gap = (high - low) / max(1, len(rows) - 1)
        return cls(np.maximum(low - gap, low / 2), high + gap)

    def excess(self, columns: Columns) -> FloatArray:
        """How far outside each row lies, float64[n]: 0 inside, 1 at twice the upper end."""
        total = np.zeros(len(columns.layers))
        for quantity, low, high in zip(QUANTITIES, self.low, self.high, strict=True):
            values = quantity.of(columns)
            total += np.maximum(values / high, 1) - 1
            total += np.maximum(low / values, 1) - 1
        return total


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """Where a fitted predictor comes from.

    Attributes:
        rows: Measurements fitted on.
        excluded: Flagged measurements left out.
        campaigns: Names of the campaigns.
        noise: Median relative half width of the measured intervals.
        cross_validated_mape: Mean absolute relative error on rows held out in turn.
    """

    rows: int
    excluded: int
    campaigns: tuple[str, ...]
    noise: float
    cross_validated_mape: float


@dataclass(frozen=True, slots=True)
class WorkPredictor:
    """Seconds as a sum of work terms, times a learned factor where it was shown to help.

    A row's prediction does not depend on the rows predicted beside it, to the last bit.

    Attributes:
        conditions: Under which it holds.
        prices: Seconds for one unit of each of `WORK_TERMS`, float64[terms], none negative.
        residual: The learned factor, or None.
        coverage: Share of new measurements that the interval is to contain.
        interval_factor: The interval runs from latency / factor to latency * factor inside the
            support; its distance from 1 grows with `Support.excess` outside.
        support: Range of the training rows.
        summary: Where it comes from.
    """

    conditions: Conditions
    prices: FloatArray
    residual: Residual | None
    coverage: float
    interval_factor: float
    support: Support
    summary: TrainingSummary

    def __post_init__(self) -> None:
        if self.prices.shape != (len(WORK_TERMS),) or not np.all(np.isfinite(self.prices)):
            raise ValueError("the prices of the work terms are malformed")
        if np.any(self.prices < 0) or not np.any(self.prices > 0):
            raise ValueError("a price of a work term is negative, or all are zero")
        if not (0 < self.coverage < 1 and 1 <= self.interval_factor < np.inf):
            raise ValueError("the interval is malformed")

    def predict(self, rows: IntArray) -> Prediction:
        """Predict int[n, 5] with the columns of `atb.models.space.FEATURES`, n of any size."""
        count = len(rows)
        latency, lower, upper = np.empty(count), np.empty(count), np.empty(count)
        supported = np.empty(count, dtype=np.bool_)
        # at least one pass, so that an empty array of the wrong shape is refused as well
        for start in range(0, max(count, 1), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            columns = columns_of(rows[part])
            seconds = self.work_seconds(columns)
            if self.residual is not None:
                seconds *= self.residual.factor(columns)
            excess = self.support.excess(columns)
            factor = 1 + (self.interval_factor - 1) * (1 + excess)
            latency[part], lower[part], upper[part] = seconds, seconds / factor, seconds * factor
            supported[part] = excess == 0
        return Prediction(latency, lower, upper, supported)

    def predict_architectures(self, architectures: Sequence[Architecture]) -> Prediction:
        """The same for a few architectures."""
        return self.predict(rows_of(architectures))

    def work_seconds(self, columns: Columns) -> FloatArray:
        """The sum of the work terms without the learned factor, float64[n]."""
        seconds = np.zeros(len(columns.layers))
        for term, price in zip(WORK_TERMS, self.prices, strict=True):
            if price:
                seconds += price * term.amount(columns, self.conditions.settings)
        return seconds
