"""How good a predictor is: on measurements it has not seen, or on its own held out in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from atb.errors import InputError
from atb.predictor import LEAST_ROWS, LatencyPredictor, TrainingSet, fit, require_conditions
from atb.predictor.evaluation.unseen import Unseen, UnseenRows, predict_unseen, predict_unseen_rows
from atb.predictor.fitting import DEFAULT_COVERAGE, Estimates, FloatArray, Observations
from atb.predictor.tables import TablePredictor

__all__ = ["Evaluation", "cross_validate", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Errors relative to the measured latency; shares as fractions.

    Attributes:
        rows: Measurements compared.
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
        return {
            "rows": self.rows,
            "mape": self.mape,
            "within_5": self.within_5,
            "within_10": self.within_10,
            "spearman": None if math.isnan(self.spearman) else self.spearman,
            "kendall": None if math.isnan(self.kendall) else self.kendall,
            "worst": self.worst,
            "interval_coverage": self.interval_coverage,
            "interval_width": self.interval_width,
            "held_out_rows": self.held_out_rows,
            "left_out_rows": self.left_out_rows,
        }


def _rank_correlations(predicted: FloatArray, measured: FloatArray) -> tuple[float, float]:
    from scipy.stats import kendalltau, spearmanr

    if np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return math.nan, math.nan
    return (
        float(spearmanr(predicted, measured).statistic),
        float(kendalltau(predicted, measured).statistic),
    )


def evaluate(predictor: LatencyPredictor, measured: TrainingSet) -> Evaluation:
    """Judge a predictor on measurements, each predicted by what has not seen its architecture.

    Raises:
        InputError: They were made under other conditions, or it learnt from all of them and they
            are too few to be held out in turn.
    """
    require_conditions(predictor, measured.conditions)
    unseen = predict_unseen(predictor, measured)
    return _with_counts(Evaluation.of(unseen.estimates, unseen.measured.seconds), unseen)


def evaluate_rows(predictor: TablePredictor, observed: Observations) -> Evaluation:
    """Judge a predictor on the rows of a table, each predicted by what has not seen it.

    Raises:
        InputError: It learnt from all of them, and they are too few to be held out in turn.
    """
    unseen = predict_unseen_rows(predictor, observed)
    found = Evaluation.of(unseen.estimates, unseen.observed.values)
    return _with_counts(found, unseen)


def _with_counts(found: Evaluation, unseen: Unseen | UnseenRows) -> Evaluation:
    """An evaluation of the rows that could be judged, in terms of all."""
    return replace(
        found,
        worst_row=int(np.flatnonzero(unseen.kept)[found.worst_row]),
        held_out_rows=int(unseen.held_out.sum()),
        left_out_rows=int((~unseen.kept).sum()),
    )


def cross_validate(
    measured: TrainingSet,
    folds: int,
    rng: np.random.Generator,
    *,
    coverage: float = DEFAULT_COVERAGE,
) -> Evaluation:
    """Judge the recipe: every architecture is predicted by a fit that has not seen it.

    Raises:
        InputError: There are fewer than two folds, or too few rows to fit on without one.
    """
    if folds < 2:
        raise InputError(f"Cross-validation in {folds} folds is impossible: ask for at least 2.")
    measured.require_rows(LEAST_ROWS + math.ceil(LEAST_ROWS / (folds - 1)))
    latency, lower, upper = (np.empty(len(measured)) for _ in range(3))
    supported = np.empty(len(measured), dtype=np.bool_)
    for fold in measured.folds(folds, rng):
        rest = np.setdiff1d(np.arange(len(measured)), fold)
        part = fit(measured.take(rest), rng, coverage=coverage).predict(measured.rows[fold])
        latency[fold], lower[fold], upper[fold] = (
            part.latency_seconds,
            part.lower_seconds,
            part.upper_seconds,
        )
        supported[fold] = part.supported
    return Evaluation.of(Estimates(latency, lower, upper, supported), measured.seconds)
