"""Means of evaluations over draws, as the result files of several benchmarks hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atb.predictor.evaluation import Evaluation


def mean_of(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """Means over draws and the worst draw; shares in per cent."""

    def each(name: str) -> list[float]:
        return [getattr(evaluation, name) for evaluation in evaluations]

    return {
        "mape": round(100 * float(np.mean(each("mape"))), 3),
        "mape_worst_draw": round(100 * float(np.max(each("mape"))), 3),
        "within_5": round(100 * float(np.mean(each("within_5"))), 2),
        "within_10": round(100 * float(np.mean(each("within_10"))), 2),
        "spearman": round(float(np.mean(each("spearman"))), 5),
        "spearman_worst_draw": round(float(np.min(each("spearman"))), 5),
        "kendall": round(float(np.mean(each("kendall"))), 4),
        "worst": round(100 * float(np.max(each("worst"))), 1),
    }
