"""Predictors of latencies: the contract, the fitted one, and an exact one for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models import Architecture
from atb.predictor.fitting import (
    Estimates,
    FloatArray,
    IntArray,
    WorkModel,
    architecture_at,
    columns_of,
    rows_of,
)
from atb.predictor.summary import TrainingSummary
from atb.profiler import Conditions


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted latencies of n architectures.

    Attributes:
        latency_seconds: Predicted latency, float64[n].
        lower_seconds: Lower end of the interval, float64[n].
        upper_seconds: Upper end of the interval, float64[n].
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
    """Predicts latencies under one set of conditions; passes `atb.predictor.testing`."""

    @property
    def conditions(self) -> Conditions:
        """Under which the predicted latencies hold."""

    def predict(self, rows: IntArray) -> Prediction:
        """Predict int[n, 5] with the columns of `atb.models.space.FEATURES`, n of any size."""

    def predict_architectures(self, architectures: Sequence[Architecture]) -> Prediction:
        """Predict a few architectures."""


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
class WorkPredictor:
    """Latencies by a fitted `WorkModel` of architectures.

    A row's prediction does not depend on the rows predicted beside it, to the last bit.

    Attributes:
        conditions: Conditions under which the predictions hold.
        model: The fitted model of latencies.
        summary: What the model was fitted on, and how well.
        further: Models of what else was measured, by name of `FURTHER_TARGETS`.
    """

    conditions: Conditions
    model: WorkModel
    summary: TrainingSummary
    further: Mapping[str, WorkModel] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """Share of new measurements that an interval is to contain."""
        return self.model.coverage

    def predict(self, rows: IntArray) -> Prediction:
        """Predict int[n, 5] with the columns of `atb.models.space.FEATURES`, n of any size."""
        found = self.model.estimate(rows)
        return Prediction(found.values, found.lower, found.upper, found.supported)

    def predict_architectures(self, architectures: Sequence[Architecture]) -> Prediction:
        """Predict a few architectures."""
        return self.predict(rows_of(architectures))

    def predict_further(self, rows: IntArray) -> dict[str, Estimates]:
        """Predict what else was measured, by name; int[n, 5] as in `predict`."""
        return {name: model.estimate(rows) for name, model in self.further.items()}


@dataclass(frozen=True, slots=True)
class ExactPredictor:
    """A predictor that is given the truth: searches and judgements are tested on it.

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
