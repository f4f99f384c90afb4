"""Predictions of measurements by what has not seen them: the only ones that say how good it is.

An architecture that a predictor learnt from is not unseen, in whatever campaign it was measured
again: it is predicted by fits of the same recipe without it. All others are by the predictor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.predictor.features import architecture_at
from atb.predictor.fitting import held_out_seconds
from atb.predictor.model import Estimates
from atb.predictor.predictor import LatencyPredictor, WorkPredictor
from atb.predictor.training_set import LEAST_ROWS, TrainingSet

__all__ = ["Unseen", "can_be_held_out", "learnt_from", "predict_unseen"]

_FOLDS_SEED = 0
#: What is left when a tenth is held out must still carry a fit.
_LEAST_HELD_OUT = LEAST_ROWS + 2


@dataclass(frozen=True, slots=True)
class Unseen:
    """Predictions beside the rows that they are of.

    Attributes:
        measured: The rows that can be predicted so.
        estimates: Of each row; the interval of one that was held out is as wide as the predictor's
            at that latency.
        held_out: Which of them the predictor learnt from, so that other fits predicted them,
            bool[n].
        kept: Which rows of all that were asked for these are: those that it learnt from are left
            out where they are too few to be held out in turn, bool[all].
    """

    measured: TrainingSet
    estimates: Estimates
    held_out: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]


def learnt_from(predictor: LatencyPredictor, measured: TrainingSet) -> npt.NDArray[np.bool_]:
    """Which rows are of architectures that a predictor learnt from, bool[n].

    A predictor's file of an older version names only campaigns: where it learnt from one of those
    measured, all rows may be its own. One that does not say what it was fitted on has seen nothing.
    """
    if not isinstance(predictor, WorkPredictor):
        return np.zeros(len(measured), dtype=np.bool_)
    summary = predictor.summary
    if not summary.architectures:
        own = not set(summary.campaigns).isdisjoint(measured.campaigns)
        return np.full(len(measured), own)
    known = set(summary.architectures)
    return np.array([str(architecture_at(row)) in known for row in measured.rows], dtype=np.bool_)


def can_be_held_out(measured: TrainingSet) -> bool:
    """Whether there are enough architectures to predict each by fits without it."""
    return len(np.unique(measured.rows, axis=0)) >= _LEAST_HELD_OUT


def predict_unseen(predictor: LatencyPredictor, measured: TrainingSet) -> Unseen:
    """Predict each row by what has not seen its architecture.

    Args:
        predictor: Under the conditions of the measurements.
        measured: At least one row.

    Raises:
        InputError: The predictor learnt from all of them, and they are too few to be held out.
    """
    learnt = learnt_from(predictor, measured)
    own = measured.take(np.flatnonzero(learnt))
    enough = can_be_held_out(own)
    if not enough and learnt.all():
        raise InputError(
            f"The predictor learnt from all of the {len(measured)} measurements, and to hold them "
            f"out in turn {_LEAST_HELD_OUT} architectures are needed: measure others with "
            "`atb profile --seed 1`, or so."
        )
    kept = ~learnt | enough
    judged, held_out = measured.take(np.flatnonzero(kept)), learnt[kept]
    found = predictor.predict(judged.rows)
    values, lower, upper = (
        np.array(part) for part in (found.latency_seconds, found.lower_seconds, found.upper_seconds)
    )
    if held_out.any():
        seconds = held_out_seconds(own, np.random.default_rng(_FOLDS_SEED))
        moved = seconds / values[held_out]
        values[held_out] = seconds
        lower[held_out] *= moved
        upper[held_out] *= moved
    estimates = Estimates(values, lower, upper, found.supported)
    return Unseen(judged, estimates, held_out, kept)
