"""How good a predictor is: on measurements it has not seen, or on its own held out in turn."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from atb.predictor import LatencyPredictor, TrainingSet, require_conditions
from atb.predictor.evaluation.unseen import Unseen, predict_unseen, predict_unseen_rows
from atb.predictor.fitting import Estimates, FloatArray, Observations
from atb.predictor.tables import TablePredictor

__all__ = ["Evaluation", "evaluate", "evaluate_rows"]


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
