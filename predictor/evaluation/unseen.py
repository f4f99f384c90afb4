"""Predictions of measurements by what has not seen them: the only ones that say how good it is.

An architecture that a predictor learnt from is not unseen, in whatever campaign it was measured
again: it is predicted by fits of the same recipe without it. All others are by the predictor. The
same holds for the rows of a table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.predictor import LEAST_ROWS, LatencyPredictor, TrainingSet, WorkPredictor, held_out_seconds
from atb.predictor.fitting import (
    Estimates,
    FloatArray,
    Observations,
    Rows,
    architecture_at,
    fit_model,
)
from atb.predictor.tables import TablePredictor, digests_of

__all__ = [
    "Unseen",
    "UnseenRows",
    "can_be_held_out",
    "learnt_from",
    "predict_unseen",
    "predict_unseen_rows",
]

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
    return _are_enough(measured.rows)


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
    kept = _kept(learnt, own.rows, what="architectures", how="measure others with `atb profile`")
    judged, held_out = measured.take(np.flatnonzero(kept)), learnt[kept]
    told = predictor.predict(judged.rows)
    found = Estimates(told.latency_seconds, told.lower_seconds, told.upper_seconds, told.supported)
    if held_out.any():
        rng = np.random.default_rng(_FOLDS_SEED)
        found = _with_held_out(found, held_out, held_out_seconds(own, rng))
    return Unseen(judged, found, held_out, kept)


@dataclass(frozen=True, slots=True)
class UnseenRows:
    """Predictions beside the rows of a table that they are of.

    Attributes:
        observed: The rows that can be predicted so.
        estimates: Of each row.
        held_out: As in `Unseen`.
        kept: As in `Unseen`.
    """

    observed: Observations
    estimates: Estimates
    held_out: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]


def predict_unseen_rows(predictor: TablePredictor, observed: Observations) -> UnseenRows:
    """Predict each row of a table by what has not seen its features.

    Args:
        predictor: One of an older version does not tell its rows, and has seen nothing.
        observed: At least one row.

    Raises:
        InputError: The predictor learnt from all of them, and they are too few to be held out.
    """
    known = set(predictor.learnt_from)
    learnt = np.array([digest in known for digest in digests_of(observed.rows)], dtype=np.bool_)
    own = observed.take(np.flatnonzero(learnt))
    kept = _kept(learnt, own.rows, what="different rows", how="give it other rows")
    judged, held_out = observed.take(np.flatnonzero(kept)), learnt[kept]
    found = predictor.predict(judged.rows, judged.order)
    if held_out.any():
        basis, coverage = predictor.model.basis, predictor.model.coverage
        again = fit_model([basis], own, np.random.default_rng(_FOLDS_SEED), coverage=coverage)
        timed = judged.order is not None
        found = _with_held_out(found, held_out, again.held_out_timed if timed else again.held_out)
    return UnseenRows(judged, found, held_out, kept)


def _kept(
    learnt: npt.NDArray[np.bool_], own: Rows, *, what: str, how: str
) -> npt.NDArray[np.bool_]:
    """Which rows can be predicted by what has not seen them.

    Raises:
        InputError: None can.
    """
    enough = _are_enough(own)
    if not enough and learnt.all():
        raise InputError(
            f"The predictor learnt from all of the {len(learnt)} rows, and to hold them out in "
            f"turn {_LEAST_HELD_OUT} {what} are needed: {how}."
        )
    return ~learnt | enough


def _are_enough(rows: Rows) -> bool:
    return len(np.unique(rows, axis=0)) >= _LEAST_HELD_OUT


def _with_held_out(
    found: Estimates, held_out: npt.NDArray[np.bool_], values: FloatArray
) -> Estimates:
    """Estimates with other values for some rows, and intervals as wide as they were for them."""
    moved = np.ones(len(found))
    moved[held_out] = values / found.values[held_out]
    return Estimates(
        found.values * moved, found.lower * moved, found.upper * moved, found.supported
    )
