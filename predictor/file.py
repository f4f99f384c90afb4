"""The predictor file: JSON, data only, with a hash of its content.

Formats:
    1: conditions, price of each work term, residual curves, interval, support, training summary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import atb
from atb.errors import BadFile
from atb.files import read_document, write_document
from atb.predictor.features import QUANTITIES, WORK_TERMS
from atb.predictor.predictor import Support, TrainingSummary, WorkPredictor
from atb.predictor.residual import Residual
from atb.profiler.conditions import Conditions

__all__ = ["load", "save"]

_KIND, _FORMAT = "latency-predictor", 1


def save(predictor: WorkPredictor, path: Path) -> None:
    """Write a predictor; `load` gives one that predicts the same to the last bit."""
    content = _to_json(predictor)
    write_document(path, {"sha256": _hash(content), **content}, kind=_KIND, format=_FORMAT)


def load(path: Path) -> WorkPredictor:
    """Read a predictor.

    Raises:
        BadFile: It is missing, truncated, foreign, of another format, or was changed.
    """
    document = read_document(path, kind=_KIND, format=_FORMAT)
    envelope = ("format", "kind", "sha256")
    content = {name: value for name, value in document.items() if name not in envelope}
    if document.get("sha256") != _hash(content):
        raise BadFile(
            f"{path} was changed after it was written (its content does not match its hash): "
            "fit it again with `atb predictor train`."
        )
    try:
        return _from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(
            f"{path} does not hold a usable predictor ({error}): "
            "fit it again with `atb predictor train`."
        ) from error


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _to_json(predictor: WorkPredictor) -> dict[str, Any]:
    prices = zip(WORK_TERMS, predictor.prices.tolist(), strict=True)
    ends = np.stack([predictor.support.low, predictor.support.high], axis=1).tolist()
    return {
        "atb_version": atb.__version__,
        "conditions": predictor.conditions.to_json(),
        "seconds_for_each": {term.name: price for term, price in prices},
        "residual": None if predictor.residual is None else predictor.residual.to_json(),
        "interval": {"coverage": predictor.coverage, "factor": predictor.interval_factor},
        "support": {q.name: pair for q, pair in zip(QUANTITIES, ends, strict=True)},
        "training": {**asdict(predictor.summary), "campaigns": list(predictor.summary.campaigns)},
    }


def _from_json(content: Mapping[str, Any]) -> WorkPredictor:
    prices = content["seconds_for_each"]
    unknown = set(prices) - {term.name for term in WORK_TERMS}
    if unknown:
        raise ValueError(f"unknown work term {min(unknown)!r}")
    ends = np.array([content["support"][quantity.name] for quantity in QUANTITIES], dtype=float)
    residual = content["residual"]
    training = content["training"]
    return WorkPredictor(
        conditions=Conditions.from_json(content["conditions"]),
        prices=np.array([prices[term.name] for term in WORK_TERMS], dtype=float),
        residual=None if residual is None else Residual.from_json(residual),
        coverage=float(content["interval"]["coverage"]),
        interval_factor=float(content["interval"]["factor"]),
        support=Support(ends[:, 0], ends[:, 1]),
        summary=TrainingSummary(**{**training, "campaigns": tuple(training["campaigns"])}),
    )
