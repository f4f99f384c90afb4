"""Where the predicted time goes, and what would make it shorter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from atb.models import Architecture
from atb.predictor.fitting import columns_of, rows_of
from atb.predictor.predictor import LatencyPredictor, WorkPredictor

RESIDUAL_PART = "learned residual"


def explain(predictor: WorkPredictor, architecture: Architecture) -> dict[str, float]:
    """Split the predicted latency of one architecture.

    Returns:
        Seconds of each work term that costs anything, the largest first, then of the learned
        residual (negative where it makes the prediction shorter); they add up to the latency.
    """
    rows = rows_of([architecture])
    model = predictor.model
    seconds = (model.coefficients * model.basis.amounts(rows)[0]).tolist()
    parts = {term.name: part for term, part in zip(model.basis.terms, seconds, strict=True) if part}
    parts = dict(sorted(parts.items(), key=lambda part: -part[1]))
    if model.residual is not None:
        factor = float(model.residual.factor(columns_of(rows))[0])
        parts[RESIDUAL_PART] = (factor - 1) * sum(parts.values())
    return parts


@dataclass(frozen=True, slots=True)
class Saving:
    """An architecture with one dimension made smaller.

    Attributes:
        dimension: Name of the dimension.
        before: Its value in the architecture.
        after: Its smaller value.
        saved_seconds: By how much the predicted latency is shorter.
    """

    dimension: str
    before: int
    after: int
    saved_seconds: float


def savings(predictor: LatencyPredictor, architecture: Architecture) -> list[Saving]:
    """Predict what each dimension saves if it alone is about an eighth smaller, the most first.

    Layers and heads go down by at least one; with the heads goes the query width that they have,
    and the query width keeps the number of heads.
    """
    smaller = dict(_smaller(architecture))
    if not smaller:
        return []
    predicted = predictor.predict_architectures([architecture, *smaller.values()]).latency_seconds
    found = [
        Saving(
            dimension,
            getattr(architecture, dimension),
            getattr(other, dimension),
            float(predicted[0] - seconds),
        )
        for (dimension, other), seconds in zip(smaller.items(), predicted[1:], strict=True)
    ]
    return sorted(found, key=lambda saving: -saving.saved_seconds)


def _smaller(a: Architecture) -> Iterator[tuple[str, Architecture]]:
    def less(value: int, step: int = 1) -> int:
        return value - max(step, value // 8 // step * step)

    if a.layers > 1:
        yield "layers", replace(a, layers=less(a.layers))
    if a.hidden > 1:
        yield "hidden", replace(a, hidden=less(a.hidden))
    if a.heads > 1:
        heads = less(a.heads)
        yield "heads", replace(a, heads=heads, qkv=heads * a.head_size)
    if a.head_size > 1:
        yield "qkv", replace(a, qkv=less(a.qkv, a.heads))
    if a.feed_forward > 1:
        yield "feed_forward", replace(a, feed_forward=less(a.feed_forward))
