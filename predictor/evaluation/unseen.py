"""Predictions of measurements by what has not seen them: the only ones that say how good it is.

An architecture that a predictor learnt from is not unseen, in whatever campaign it was measured
again: it is predicted by fits of the same recipe without it. All others are by the predictor. The
same holds for the rows of a table.
"""

from __future__ import annotations

from collections.abc import Callable
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

__all__ = ["Unseen", "can_be_held_out", "learnt_from", "predict_unseen", "predict_unseen_rows"]

_FOLDS_SEED = 0
#: What is left when a tenth is held out must still carry a fit.
_LEAST_HELD_OUT = LEAST_ROWS + 2


@dataclass(frozen=True, slots=True)
class Unseen:
    """Predictions beside the rows that they are of.

    Attributes:
        observed: The rows that can be predicted so; latencies in seconds.
        estimates: Of each row; the interval of one that was held out is as wide as the predictor's
            at that value.
        held_out: Which of them the predictor learnt from, so that other fits predicted them,
            bool[n].
        kept: Which rows of all that were asked for these are: those that it learnt from are left
            out where they are too few to be held out in turn, bool[all].
    """

    observed: Observations
    estimates: Estimates
    held_out: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]


def learnt_from(predictor: LatencyPredictor, measured: TrainingSet) -> npt.NDArray[np.bool_]:
    """Find the rows of architectures that a predictor learnt from, bool[n].

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


def can_be_held_out(rows: Rows) -> bool:
    """Whether there are enough different rows to predict each by fits without it."""
    return len(np.unique(rows, axis=0)) >= _LEAST_HELD_OUT


def predict_unseen(predictor: LatencyPredictor, measured: TrainingSet) -> Unseen:
    """Predict each row by what has not seen its architecture.

    Args:
        predictor: Under the conditions of the measurements.
        measured: Measurements of at least one row.

    Raises:
        InputError: The predictor learnt from all of them, and they are too few to be held out.
    """
    learnt = learnt_from(predictor, measured)
    own = measured.take(np.flatnonzero(learnt))

    def predict(observed: Observations) -> Estimates:
        found = predictor.predict(observed.rows)
        return Estimates(
            found.latency_seconds, found.lower_seconds, found.upper_seconds, found.supported
        )

    return _unseen(
        measured.observations,
        learnt,
        predict,
        lambda rng: held_out_seconds(own, rng),
        needed="architectures are needed: measure others with `atb profile`",
    )


def predict_unseen_rows(predictor: TablePredictor, observed: Observations) -> Unseen:
    """Predict each row of a table by what has not seen its features.

    Args:
        predictor: One of an older version does not tell its rows, and has seen nothing.
        observed: At least one row with its value.

    Raises:
        InputError: The predictor learnt from all of them, and they are too few to be held out.
    """
    known = set(predictor.learnt_from)
    learnt = np.array([digest in known for digest in digests_of(observed.rows)], dtype=np.bool_)
    own = observed.take(np.flatnonzero(learnt))

    def hold_out(rng: np.random.Generator) -> FloatArray:
        model = predictor.model
        found = fit_model([model.basis], own, rng, coverage=model.coverage)
        return found.held_out if own.order is None else found.held_out_timed

    return _unseen(
        observed,
        learnt,
        lambda rows: predictor.predict(rows.rows, rows.order),
        hold_out,
        needed="different rows are needed: give it other rows",
    )


def _unseen(
    observed: Observations,
    learnt: npt.NDArray[np.bool_],
    predict: Callable[[Observations], Estimates],
    hold_out: Callable[[np.random.Generator], FloatArray],
    *,
    needed: str,
) -> Unseen:
    """Predict all rows, those that were learnt from by fits without them.

    Args:
        observed: All rows with their values.
        learnt: Which of them the predictor learnt from, bool[n].
        predict: Estimates rows by the predictor itself.
        hold_out: Predicts the rows that were learnt from, by fits without them.
        needed: The end of the message where they are too few.

    Raises:
        InputError: The predictor learnt from all of them, and they are too few to be held out.
    """
    enough = can_be_held_out(observed.rows[learnt])
    if not enough and learnt.all():
        raise InputError(
            f"The predictor learnt from all of the {len(learnt)} rows, and to hold them out in "
            f"turn {_LEAST_HELD_OUT} {needed}."
        )
    kept = ~learnt | enough
    judged, held_out = observed.take(np.flatnonzero(kept)), learnt[kept]
    found = predict(judged)
    if held_out.any():
        moved = np.ones(len(found))
        moved[held_out] = hold_out(np.random.default_rng(_FOLDS_SEED)) / found.values[held_out]
        found = Estimates(
            found.values * moved, found.lower * moved, found.upper * moved, found.supported
        )
    return Unseen(judged, found, held_out, kept)
