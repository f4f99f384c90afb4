"""Predictions of what a predictor has not seen: the only ones that say how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.models.architecture import Architecture
from atb.predictor.fitting import held_out_seconds
from atb.predictor.predictor import LatencyPredictor, WorkPredictor
from atb.predictor.training_set import LEAST_ROWS, TrainingSet
from atb.profiler.measurement import Measurement

__all__ = ["HELD_OUT", "LATER", "Fit", "unseen"]

HELD_OUT = "held out in turn"
LATER = "measured later"
_FOLDS_SEED = 0
#: What is left when a tenth is held out must still carry a fit.
_LEAST = LEAST_ROWS + 2


@dataclass(frozen=True, slots=True)
class Fit:
    """Predictions of architectures that the predictor had not seen, beside the truth.

    Attributes:
        architectures: What was predicted; at least one.
        measured: Latencies in seconds.
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
        predicted = np.asarray(self.predicted, dtype=np.float64)
        return np.asarray(predicted / np.asarray(self.measured) - 1.0)

    @property
    def mape(self) -> float:
        """Mean absolute relative error."""
        return float(np.abs(self.errors).mean())

    def within(self, share: float) -> float:
        """Share of predictions whose error is at most this."""
        return float((np.abs(self.errors) <= share).mean())

    @property
    def spearman(self) -> float:
        """Rank correlation; not a number when there is no order to compare."""
        from scipy.stats import spearmanr

        if np.ptp(self.measured) == 0 or np.ptp(self.predicted) == 0:
            return float("nan")
        return float(spearmanr(self.measured, self.predicted).statistic)


def unseen(predictor: LatencyPredictor, measurements: Sequence[Measurement]) -> tuple[Fit, ...]:
    """Measurements beside predictions that did not know them; unusable ones are left out.

    Those of the predictor's own campaigns are predicted by fits of the same recipe without them,
    in ten folds; those of other campaigns, such as that of a search's finalists, by itself.

    Args:
        predictor: Any; one that does not say what it was fitted on has seen nothing.
        measurements: Under its conditions.
    """
    sound = [m for m in measurements if m.usable]
    known = predictor.summary.campaigns if isinstance(predictor, WorkPredictor) else ()
    fits = []
    own = [m for m in sound if m.campaign in known]
    if len({m.architecture for m in own}) >= _LEAST:
        training_set = TrainingSet.from_measurements(own, emulated=True)
        predicted = held_out_seconds(training_set, np.random.default_rng(_FOLDS_SEED))
        fits.append(_fit(own, predicted.tolist(), HELD_OUT))
    later = [m for m in sound if m.campaign not in known]
    if later:
        prediction = predictor.predict_architectures([m.architecture for m in later])
        fits.append(_fit(later, prediction.latency_seconds.tolist(), LATER))
    return tuple(fits)


def _fit(measurements: Sequence[Measurement], predicted: Sequence[float], how: str) -> Fit:
    return Fit(
        tuple(m.architecture for m in measurements),
        tuple(m.latency_seconds for m in measurements),
        tuple(predicted),
        how,
    )
