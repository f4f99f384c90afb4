"""The exact fake of the predictor's contract: latencies by a formula, without any doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from atb.models import Architecture
from atb.predictor.fitting import FloatArray, IntArray, architecture_at, columns_of, rows_of
from atb.predictor.predictor import Prediction
from atb.profiler import Conditions

__all__ = ["ExactPredictor"]


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
