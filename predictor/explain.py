"""Where the predicted time goes."""

from __future__ import annotations

from atb.models.architecture import Architecture
from atb.predictor.features import WORK_TERMS, columns_of, rows_of, work_amounts
from atb.predictor.predictor import WorkPredictor

__all__ = ["RESIDUAL_PART", "explain"]

RESIDUAL_PART = "learned residual"


def explain(predictor: WorkPredictor, architecture: Architecture) -> dict[str, float]:
    """Split the predicted latency of one architecture.

    Returns:
        Seconds of each work term that costs anything, the largest first, then of the learned
        residual (negative where it makes the prediction shorter); they add up to the latency.
    """
    rows = rows_of([architecture])
    seconds = (predictor.prices * work_amounts(rows, predictor.conditions.settings)[0]).tolist()
    parts = {term.name: part for term, part in zip(WORK_TERMS, seconds, strict=True) if part}
    parts = dict(sorted(parts.items(), key=lambda part: -part[1]))
    if predictor.residual is not None:
        factor = float(predictor.residual.factor(columns_of(rows))[0])
        parts[RESIDUAL_PART] = (factor - 1) * sum(parts.values())
    return parts
