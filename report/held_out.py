"""Predictions of what a predictor has not seen, which alone say how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.models import Architecture
from atb.predictor import (
    Evaluation,
    LatencyPredictor,
    TrainingSet,
    Unseen,
    can_be_held_out,
    learnt_from,
    predict_unseen,
)
from atb.predictor.fitting import Estimates, architecture_at
from atb.profiler.statistics import Measurement

HELD_OUT = "held out in turn"
LATER = "not learnt from"


@dataclass(frozen=True, slots=True)
class UnseenPredictions:
    """Predictions of architectures that the predictor had not seen, beside the truth.

    Attributes:
        architectures: The architectures that were predicted; at least one.
        measured: Their latencies in seconds.
        predicted: The predictions in seconds, in the same order.
        how: How it is known that they were unseen, such as `held out in turn`.
    """

    architectures: tuple[Architecture, ...]
    measured: tuple[float, ...]
    predicted: tuple[float, ...]
    how: str

    def __len__(self) -> int:
        return len(self.architectures)

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Relative errors, float64 [n]; above zero where the prediction is too slow."""
        return np.asarray(np.array(self.predicted) / np.array(self.measured) - 1.0)

    @property
    def evaluation(self) -> Evaluation:
        """Errors of the predictions; their intervals are left out."""
        return Evaluation.of(Estimates.exact(np.array(self.predicted)), np.array(self.measured))


def unseen(
    predictor: LatencyPredictor, measurements: Sequence[Measurement]
) -> tuple[UnseenPredictions, ...]:
    """Measurements beside predictions that did not know them; unusable ones are left out.

    Args:
        predictor: Any; one that does not say what it was fitted on has seen nothing.
        measurements: Measurements under the predictor's conditions.
    """
    sound = [m for m in measurements if m.usable]
    if not sound:
        return ()
    measured = TrainingSet.from_measurements(sound, least_rows=1, emulated=True)
    if learnt_from(predictor, measured).all() and not can_be_held_out(measured.rows):
        return ()
    found = predict_unseen(predictor, measured)
    parts = ((HELD_OUT, found.held_out), (LATER, ~found.held_out))
    return tuple(_fit(found, which, how) for how, which in parts if which.any())


def _fit(found: Unseen, which: npt.NDArray[np.bool_], how: str) -> UnseenPredictions:
    return UnseenPredictions(
        tuple(architecture_at(row) for row in found.observed.rows[which]),
        tuple(found.observed.values[which].tolist()),
        tuple(found.estimates.values[which].tolist()),
        how,
    )
