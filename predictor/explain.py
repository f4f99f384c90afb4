"""Where the predicted time goes."""

from __future__ import annotations

from atb.models.architecture import Architecture
from atb.predictor.features import WORK_TERMS, columns_of, rows_of
from atb.predictor.predictor import WorkPredictor

__all__ = ["RESIDUAL_PART", "explain"]

RESIDUAL_PART = "learned residual"


def explain(predictor: WorkPredictor, architecture: Architecture) -> dict[str, float]:
    """Split the predicted latency of one architecture.

    Returns:
        Seconds of each work term that costs anything, the largest first, then of the learned
        residual (negative where it makes the prediction shorter); they add up to the latency.
    """
    columns = columns_of(rows_of([architecture]))
    settings = predictor.conditions.settings
    parts = {
        term.name: float(price * term.amount(columns, settings))
        for term, price in zip(WORK_TERMS, predictor.prices, strict=True)
        if price
    }
    parts = dict(sorted(parts.items(), key=lambda part: -part[1]))
    if predictor.residual is not None:
        factor = float(predictor.residual.factor(columns)[0])
        parts[RESIDUAL_PART] = (factor - 1) * sum(parts.values())
    return parts
