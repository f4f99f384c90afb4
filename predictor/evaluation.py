"""How good a predictor is, by predictions of what has not seen the measurements.

An architecture that a predictor learnt from is not unseen, in whatever campaign it was measured
again: it is predicted by fits of the same recipe without it. All others are by the predictor. The
same holds for the rows of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.predictor.fitting import (
    Estimates,
    FloatArray,
    Observations,
    Rows,
    architecture_at,
    fit_model,
)
from atb.predictor.latency_fit import held_out_seconds
from atb.predictor.predictor import LatencyPredictor, WorkPredictor, require_conditions
from atb.predictor.tables import TablePredictor, digests_of
from atb.predictor.training_set import LEAST_ROWS, TrainingSet

_FOLDS_SEED = 0
#: What is left when a tenth is held out must still carry a fit.
_LEAST_HELD_OUT = LEAST_ROWS + 2


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Errors relative to the measured latency; shares as fractions.

    Attributes:
        rows: Number of measurements compared.
        mape: Mean absolute relative error.
        within_5: Share of rows predicted within 5 %.
        within_10: Share of rows predicted within 10 %.
        spearman: Rank correlation; not a number where nothing varies.
        kendall: Rank correlation by pairs; likewise.
        worst: Largest absolute relative error.
        worst_row: Position of the row where it occurred, from 0.
        interval_coverage: Share of measurements inside the predicted interval.
        interval_width: Median width of the intervals over the predicted latency.
        held_out_rows: Of the rows, those that the predictor learnt from, or that are of
            architectures that it did: fits without them predicted them.
        left_out_rows: Rows that were not compared, since it learnt from them and they are too few
            to be held out in turn.
    """

    rows: int
    mape: float
    within_5: float
    within_10: float
    spearman: float
    kendall: float
    worst: float
    worst_row: int
    interval_coverage: float
    interval_width: float
    held_out_rows: int = 0
    left_out_rows: int = 0

    @classmethod
    def of(cls, found: Estimates, measured: FloatArray) -> Evaluation:
        """Compare estimates with the measurements of the same rows, float64[n]."""
        errors = np.abs(found.values / measured - 1)
        spearman, kendall = _rank_correlations(found.values, measured)
        inside = (measured >= found.lower) & (measured <= found.upper)
        return cls(
            rows=len(measured),
            mape=float(np.mean(errors)),
            within_5=float(np.mean(errors <= 0.05)),
            within_10=float(np.mean(errors <= 0.10)),
            spearman=spearman,
            kendall=kendall,
            worst=float(np.max(errors)),
            worst_row=int(np.argmax(errors)),
            interval_coverage=float(np.mean(inside)),
            interval_width=float(np.median((found.upper - found.lower) / found.values)),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values; a rank correlation that is not a number becomes None."""
        fields = {name: v for name, v in asdict(self).items() if name != "worst_row"}
        return {name: None if math.isnan(v) else v for name, v in fields.items()}


def _rank_correlations(predicted: FloatArray, measured: FloatArray) -> tuple[float, float]:
    from scipy.stats import kendalltau, spearmanr

    if np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return math.nan, math.nan
    return (
        float(spearmanr(predicted, measured).statistic),
        float(kendalltau(predicted, measured).statistic),
    )


def evaluate(predictor: LatencyPredictor, measured: TrainingSet) -> Evaluation:
    """Score a predictor on measurements, each predicted by fits without its architecture.

    Raises:
        InputError: They were made under other conditions, or it learnt from all of them and they
            are too few to be held out in turn.
    """
    require_conditions(predictor, measured.conditions)
    return _evaluate(predict_unseen(predictor, measured))


def evaluate_rows(predictor: TablePredictor, observed: Observations) -> Evaluation:
    """Score a predictor on the rows of a table, each predicted by fits without it.

    Raises:
        InputError: It learnt from all of them, and they are too few to be held out in turn.
    """
    return _evaluate(predict_unseen_rows(predictor, observed))


def _evaluate(unseen: Unseen) -> Evaluation:
    """An evaluation of the rows that could be judged, with counts of all."""
    found = Evaluation.of(unseen.estimates, unseen.observed.values)
    return replace(
        found,
        worst_row=int(np.flatnonzero(unseen.kept)[found.worst_row]),
        held_out_rows=int(unseen.held_out.sum()),
        left_out_rows=int((~unseen.kept).sum()),
    )


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
    """Predict all rows, those that were `learnt` from by fits without them.

    `needed` ends the message where the predictor learnt from all, and they are too few for that.
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
