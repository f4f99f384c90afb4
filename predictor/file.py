"""Predictor files: JSON, data only, with a hash of the content.

Kinds and formats:
    latency-predictor 1: conditions, coefficient of each work term, residual curves, interval,
        support, training summary, the architectures learnt from; `further`, if there is any, the
        same of other targets.
    settings-predictor 1: conditions but the settings; for each mode (settings but batch and length)
        what a latency-predictor has; training summary, the architectures learnt from.
    table-predictor 1: features, degree and target, coefficient of each product, residual curves,
        drift, interval, support, training summary, digests of the rows learnt from; `units` and
        `target_unit` where cells had some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from atb.devices import RunSettings
from atb.errors import BadFile
from atb.files import check_document, read_document, write_document
from atb.predictor.checksum import (
    LATENCY_PREDICTOR,
    PREDICTOR_FORMAT,
    read_checksummed,
    with_checksum,
)
from atb.predictor.family import FamilyPredictor, settings_basis
from atb.predictor.fitting import (
    PADDING,
    Basis,
    Drift,
    Residual,
    Support,
    WorkModel,
    architecture_basis,
)
from atb.predictor.predictor import WorkPredictor
from atb.predictor.summary import TrainingSummary
from atb.predictor.tables import Feature, TablePredictor, TableSummary, table_basis
from atb.predictor.targets import FURTHER_TARGETS
from atb.profiler import Conditions

__all__ = [
    "document_of",
    "kind_of",
    "load",
    "load_family",
    "load_table_predictor",
    "predictor_of",
    "save",
    "save_family",
    "save_table_predictor",
]

_FAMILY_KIND, _TABLE_KIND = "settings-predictor", "table-predictor"

_Predictor = TypeVar("_Predictor")


def save(predictor: WorkPredictor, path: Path) -> None:
    """Write a predictor; `load` gives one that predicts the same to the last bit."""
    _write(path, LATENCY_PREDICTOR, _fields_of(predictor))


def document_of(predictor: WorkPredictor) -> dict[str, Any]:
    """What `save` writes, as plain values that may stand in another document."""
    return {
        "format": PREDICTOR_FORMAT,
        "kind": LATENCY_PREDICTOR,
        **with_checksum(_fields_of(predictor)),
    }


def predictor_of(document: object, where: str, *, again: str) -> WorkPredictor:
    """The reverse of `document_of`.

    Args:
        document: As JSON has it.
        where: Where it was found, for the message.
        again: What to do about a bad one, for the message.

    Raises:
        BadFile: As `load`.
    """
    checked = check_document(document, where, kind=LATENCY_PREDICTOR, format=PREDICTOR_FORMAT)
    return read_checksummed(checked, where, _work_predictor, again=again)


def _fields_of(predictor: WorkPredictor) -> dict[str, Any]:
    return {
        "conditions": predictor.conditions.to_json(),
        "seconds_for_each": _coefficients(predictor.model),
        **_model_to_json(predictor.model),
        "further": {
            name: {"price_of_each": _coefficients(model), **_model_to_json(model)}
            for name, model in predictor.further.items()
        },
        **predictor.summary.to_fields(),
    }


def load(path: Path, settings: RunSettings | None = None) -> WorkPredictor:
    """Read a predictor of latencies.

    Args:
        path: The file.
        settings: Which of those that a predictor of many settings knows; the default ones where
            None. A predictor of one set of conditions is what it is.

    Raises:
        BadFile: It is missing, truncated, foreign, of another format, or was changed.
        InputError: A predictor of many settings does not know these.
    """
    if kind_of(path) == _FAMILY_KIND:
        return load_family(path).at(settings or RunSettings())
    return _read(path, LATENCY_PREDICTOR, _work_predictor)


def kind_of(path: Path) -> str | None:
    """What a file says it is; None of one that cannot be read, which `load` then explains."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    kind = document.get("kind") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) else None


def save_family(predictor: FamilyPredictor, path: Path) -> None:
    """Write a predictor of many settings."""
    conditions = predictor.conditions.to_json()
    own = set(predictor.conditions.settings.to_json())
    _write(
        path,
        _FAMILY_KIND,
        {
            "conditions": {name: v for name, v in conditions.items() if name not in own},
            "modes": [
                {
                    "settings": mode.to_json(),
                    "seconds_for_each": _coefficients(model),
                    **_model_to_json(model),
                }
                for mode, model in predictor.modes.items()
            ],
            **predictor.summary.to_fields(),
        },
    )


def load_family(path: Path) -> FamilyPredictor:
    """Read a predictor of many settings.

    Raises:
        BadFile: As `load`.
    """
    return _read(path, _FAMILY_KIND, _family_predictor)


def save_table_predictor(predictor: TablePredictor, path: Path) -> None:
    """Write a predictor of a table's column."""
    _write(
        path,
        _TABLE_KIND,
        {
            "target": predictor.target,
            "features": {feature.name: feature.offset for feature in predictor.features},
            **_units(predictor),
            "degree": predictor.degree,
            # of the many products only those that cost anything
            "price_of_each": {
                n: coefficient
                for n, coefficient in _coefficients(predictor.model).items()
                if coefficient
            },
            **_model_to_json(predictor.model),
            "learnt_from": list(predictor.learnt_from),
            "training": asdict(predictor.summary),
        },
    )


def load_table_predictor(path: Path) -> TablePredictor:
    """Read a predictor of a table's column.

    Raises:
        BadFile: As `load`.
    """
    return _read(path, _TABLE_KIND, _table_predictor)


def _write(path: Path, kind: str, fields: Mapping[str, Any]) -> None:
    write_document(path, with_checksum(fields), kind=kind, format=PREDICTOR_FORMAT)


def _read(path: Path, kind: str, make: Callable[[Mapping[str, Any]], _Predictor]) -> _Predictor:
    if not path.exists():
        raise BadFile(
            f"There is no file {path}: check the path, or make a predictor with "
            "`atb predictor train`."
        )
    document = read_document(path, kind=kind, format=PREDICTOR_FORMAT)
    return read_checksummed(
        document, str(path), make, again="fit it again with `atb predictor train`"
    )


def _work_predictor(content: Mapping[str, Any]) -> WorkPredictor:
    conditions = Conditions.from_json(content["conditions"])
    basis = architecture_basis(conditions.settings)
    coefficients = _known_coefficients(content["seconds_for_each"], basis)
    return WorkPredictor(
        conditions=conditions,
        model=_model_from_json(content, basis, [coefficients[term.name] for term in basis.terms]),
        summary=TrainingSummary.from_fields(content),
        further={
            name: _further_model(name, fields, conditions)
            for name, fields in content.get("further", {}).items()
        },
    )


def _family_predictor(content: Mapping[str, Any]) -> FamilyPredictor:
    modes = {}
    for fields in content["modes"]:
        basis = settings_basis()
        coefficients = _known_coefficients(fields["seconds_for_each"], basis)
        mode = RunSettings.from_json(fields["settings"])
        modes[mode] = _model_from_json(fields, basis, [coefficients[t.name] for t in basis.terms])
    any_settings = next(iter(modes)).to_json()
    return FamilyPredictor(
        Conditions.from_json({**content["conditions"], **any_settings}),
        modes,
        TrainingSummary.from_fields(content),
    )


def _further_model(name: str, fields: Mapping[str, Any], conditions: Conditions) -> WorkModel:
    basis = {target.name: target for target in FURTHER_TARGETS}[name].basis(conditions.settings)
    coefficients = _known_coefficients(fields["price_of_each"], basis)
    return _model_from_json(fields, basis, [coefficients[term.name] for term in basis.terms])


def _table_predictor(content: Mapping[str, Any]) -> TablePredictor:
    units = content.get("units", {})
    features = tuple(
        Feature(name, float(at), units.get(name)) for name, at in content["features"].items()
    )
    degree = int(content["degree"])
    basis = table_basis(features, degree)
    coefficients = _known_coefficients(content["price_of_each"], basis)
    return TablePredictor(
        features=features,
        degree=degree,
        target=str(content["target"]),
        model=_model_from_json(
            content, basis, [coefficients.get(term.name, 0) for term in basis.terms]
        ),
        summary=TableSummary(**content["training"]),
        target_unit=content.get("target_unit"),
        learnt_from=tuple(map(str, content.get("learnt_from", ()))),
    )


def _units(predictor: TablePredictor) -> dict[str, Any]:
    """Units as far as there were any: a file without them means what it always did."""
    units = {name: unit for name, unit in predictor.units.items() if unit is not None}
    fields = {"units": units, "target_unit": predictor.target_unit}
    return {name: value for name, value in fields.items() if value}


def _coefficients(model: WorkModel) -> dict[str, float]:
    coefficients = zip(model.basis.terms, model.coefficients.tolist(), strict=True)
    return {term.name: coefficient for term, coefficient in coefficients}


def _known_coefficients(coefficients: Mapping[str, float], basis: Basis) -> Mapping[str, float]:
    unknown = set(coefficients) - {term.name for term in basis.terms}
    if unknown:
        raise ValueError(f"unknown work term {min(unknown)!r}")
    # a file that was written before there were these terms charges nothing for them
    return {**dict.fromkeys(PADDING, 0.0), **coefficients}


def _model_to_json(model: WorkModel) -> dict[str, Any]:
    """A model without its basis and its coefficients."""
    ends = np.stack([model.support.low, model.support.high], axis=1).tolist()
    fields: dict[str, Any] = {
        "residual": None if model.residual is None else model.residual.to_json(),
        "interval": {"coverage": model.coverage, "factor": model.interval_factor},
        "support": {
            quantity.name: pair for quantity, pair in zip(model.basis.quantities, ends, strict=True)
        },
    }
    if model.drift is not None:
        fields["drift"] = {
            "order": model.drift.order.tolist(),
            "factors": model.drift.factors.tolist(),
            "time_scale": model.drift.time_scale,
            "interval_factor": model.timed_interval_factor,
        }
    return fields


def _model_from_json(
    content: Mapping[str, Any], basis: Basis, coefficients: Sequence[float]
) -> WorkModel:
    ends = np.array([content["support"][q.name] for q in basis.quantities], dtype=float)
    residual, drift = content["residual"], content.get("drift")
    factor = float(content["interval"]["factor"])
    return WorkModel(
        basis=basis,
        coefficients=np.array(coefficients, dtype=float),
        residual=None if residual is None else Residual.from_json(residual, basis.quantities),
        drift=None
        if drift is None
        else Drift(np.array(drift["order"]), np.array(drift["factors"]), drift["time_scale"]),
        coverage=float(content["interval"]["coverage"]),
        interval_factor=factor,
        timed_interval_factor=factor if drift is None else float(drift["interval_factor"]),
        support=Support(ends[:, 0], ends[:, 1]),
    )
