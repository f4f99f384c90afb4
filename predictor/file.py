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
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from atb.devices import RunSettings
from atb.errors import BadFile
from atb.files import check_document, read_document, write_document
from atb.plain import to_plain
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
    ResidualCurve,
    Support,
    WorkModel,
    architecture_basis,
)
from atb.predictor.predictor import WorkPredictor
from atb.predictor.summary import TrainingSummary
from atb.predictor.tables import Feature, TablePredictor, TableSummary, table_basis
from atb.predictor.targets import FURTHER_TARGETS
from atb.profiler import Conditions

_FAMILY_KIND, _TABLE_KIND = "settings-predictor", "table-predictor"
#: Fields of a document that hold the coefficients by term: seconds, or a value in another unit.
_SECONDS, _VALUES = "seconds_for_each", "price_of_each"
_CURVE_ARRAYS = ("knots", "factors", "lane_factors")

_Predictor = TypeVar("_Predictor")


def save(predictor: WorkPredictor | FamilyPredictor | TablePredictor, path: Path) -> None:
    """Write a predictor; the one that is read back predicts the same to the last bit."""
    if isinstance(predictor, WorkPredictor):
        kind, fields = LATENCY_PREDICTOR, _work_fields(predictor)
    elif isinstance(predictor, FamilyPredictor):
        kind, fields = _FAMILY_KIND, _family_fields(predictor)
    else:
        kind, fields = _TABLE_KIND, _table_fields(predictor)
    write_document(path, with_checksum(fields), kind=kind, format=PREDICTOR_FORMAT)


def load(path: Path, settings: RunSettings | None = None) -> WorkPredictor:
    """Read a predictor of latencies.

    Args:
        path: File to read.
        settings: Which of those that a predictor of many settings knows; the default ones where
            None. A predictor of one set of conditions is what it is.

    Raises:
        BadFile: It is missing, truncated, foreign, of another format, or was changed.
        InputError: A predictor of many settings does not know these.
    """
    if kind_of(path) == _FAMILY_KIND:
        return load_family(path).at(settings or RunSettings())
    return _read(path, LATENCY_PREDICTOR, _work_predictor)


def load_family(path: Path) -> FamilyPredictor:
    """Read a predictor of many settings; it raises what `load` does."""
    return _read(path, _FAMILY_KIND, _family_predictor)


def load_table_predictor(path: Path) -> TablePredictor:
    """Read a predictor of a table's column; it raises what `load` does."""
    return _read(path, _TABLE_KIND, _table_predictor)


def document_of(predictor: WorkPredictor) -> dict[str, Any]:
    """Make the document that `save` writes, as plain values that may stand in another one."""
    content = with_checksum(_work_fields(predictor))
    return {"format": PREDICTOR_FORMAT, "kind": LATENCY_PREDICTOR, **content}


def predictor_of(document: object, source: str, *, remedy: str) -> WorkPredictor:
    """Make a predictor of what `document_of` gave.

    Args:
        document: Plain values of a predictor.
        source: Where it was found, for the message.
        remedy: What to do about a bad one, for the message.

    Raises:
        BadFile: As `load`.
    """
    checked = check_document(document, source, kind=LATENCY_PREDICTOR, format=PREDICTOR_FORMAT)
    return read_checksummed(checked, source, _work_predictor, remedy=remedy)


def kind_of(path: Path) -> str | None:
    """Read the kind of a file; None where it cannot be read, which `load` then explains."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    kind = document.get("kind") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) else None


def _read(path: Path, kind: str, make: Callable[[Mapping[str, Any]], _Predictor]) -> _Predictor:
    if not path.exists():
        raise BadFile(
            f"There is no file {path}: check the path, or make a predictor with "
            "`atb predictor train`."
        )
    document = read_document(path, kind=kind, format=PREDICTOR_FORMAT)
    remedy = "fit it again with `atb predictor train`"
    return read_checksummed(document, str(path), make, remedy=remedy)


def _work_fields(predictor: WorkPredictor) -> dict[str, Any]:
    return {
        "conditions": predictor.conditions.to_json(),
        **_model_fields(predictor.model, _SECONDS),
        "further": {n: _model_fields(model, _VALUES) for n, model in predictor.further.items()},
        **predictor.summary.to_fields(),
    }


def _work_predictor(fields: Mapping[str, Any]) -> WorkPredictor:
    conditions = Conditions.from_json(fields["conditions"])
    settings = conditions.settings
    targets = {target.name: target for target in FURTHER_TARGETS}
    return WorkPredictor(
        conditions=conditions,
        model=_model_of(fields, architecture_basis(settings), _SECONDS),
        summary=TrainingSummary.from_fields(fields),
        further={
            name: _model_of(further, targets[name].basis(settings), _VALUES)
            for name, further in fields.get("further", {}).items()
        },
    )


def _family_fields(predictor: FamilyPredictor) -> dict[str, Any]:
    conditions = predictor.conditions.to_json()
    for name in predictor.conditions.settings.to_json():
        del conditions[name]
    return {
        "conditions": conditions,
        "modes": [
            {"settings": mode.to_json(), **_model_fields(model, _SECONDS)}
            for mode, model in predictor.modes.items()
        ],
        **predictor.summary.to_fields(),
    }


def _family_predictor(fields: Mapping[str, Any]) -> FamilyPredictor:
    modes = {
        RunSettings.from_json(mode["settings"]): _model_of(mode, settings_basis(), _SECONDS)
        for mode in fields["modes"]
    }
    any_settings = next(iter(modes)).to_json()
    conditions = Conditions.from_json({**fields["conditions"], **any_settings})
    return FamilyPredictor(conditions, modes, TrainingSummary.from_fields(fields))


def _table_fields(predictor: TablePredictor) -> dict[str, Any]:
    units = {name: unit for name, unit in predictor.units.items() if unit is not None}
    told = {"units": units, "target_unit": predictor.target_unit}
    model = _model_fields(predictor.model, _VALUES)
    # of the many products only those that cost anything
    model[_VALUES] = {name: value for name, value in model[_VALUES].items() if value}
    return {
        "target": predictor.target,
        "features": {feature.name: feature.offset for feature in predictor.features},
        **{name: value for name, value in told.items() if value},
        "degree": predictor.degree,
        **model,
        "learnt_from": list(predictor.learnt_from),
        "training": asdict(predictor.summary),
    }


def _table_predictor(fields: Mapping[str, Any]) -> TablePredictor:
    units = fields.get("units", {})
    features = tuple(
        Feature(name, float(at), units.get(name)) for name, at in fields["features"].items()
    )
    degree = int(fields["degree"])
    basis = table_basis(features, degree)
    return TablePredictor(
        features=features,
        degree=degree,
        target=str(fields["target"]),
        model=_model_of(fields, basis, _VALUES, may_lack=[term.name for term in basis.terms]),
        summary=TableSummary(**fields["training"]),
        target_unit=fields.get("target_unit"),
        learnt_from=tuple(map(str, fields.get("learnt_from", ()))),
    )


def _model_fields(model: WorkModel, coefficients: str) -> dict[str, Any]:
    """A model as plain values, but for its basis; its coefficients in the field of this name."""
    names = [term.name for term in model.basis.terms]
    ends = np.stack([model.support.low, model.support.high], axis=1).tolist()
    residual = model.residual and [
        {"quantity": c.quantity.name, **{n: getattr(c, n).tolist() for n in _CURVE_ARRAYS}}
        for c in model.residual.curves
    ]
    fields: dict[str, Any] = {
        coefficients: dict(zip(names, model.coefficients.tolist(), strict=True)),
        "residual": residual,
        "interval": {"coverage": model.coverage, "factor": model.interval_factor},
        "support": {q.name: pair for q, pair in zip(model.basis.quantities, ends, strict=True)},
    }
    if model.drift is not None:
        drift = to_plain(model.drift)
        fields["drift"] = {**drift, "interval_factor": model.timed_interval_factor}
    return fields


def _model_of(
    fields: Mapping[str, Any], basis: Basis, coefficients: str, may_lack: Collection[str] = PADDING
) -> WorkModel:
    """Make a model of what `_model_fields` made, with the coefficients in the field of this name.

    Terms that a file `may_lack`, as one that was written before there were such, cost nothing.
    """
    names = [term.name for term in basis.terms]
    known = fields[coefficients]
    unknown = set(known) - set(names)
    if unknown:
        raise ValueError(f"unknown work term {min(unknown)!r}")
    values = [known.get(name, 0.0) if name in may_lack else known[name] for name in names]
    ends = np.array([fields["support"][q.name] for q in basis.quantities], dtype=float)
    factor, drift = float(fields["interval"]["factor"]), fields.get("drift")
    return WorkModel(
        basis=basis,
        coefficients=np.array(values, dtype=float),
        residual=_residual_of(fields["residual"], basis),
        drift=None
        if drift is None
        else Drift(np.array(drift["order"]), np.array(drift["factors"]), drift["time_scale"]),
        coverage=float(fields["interval"]["coverage"]),
        interval_factor=factor,
        timed_interval_factor=factor if drift is None else float(drift["interval_factor"]),
        support=Support(ends[:, 0], ends[:, 1]),
    )


def _residual_of(curves: Any, basis: Basis) -> Residual | None:
    if curves is None:
        return None
    quantities = {quantity.name: quantity for quantity in basis.quantities}
    return Residual(
        tuple(
            ResidualCurve(
                quantities[c["quantity"]], *(np.array(c[n], dtype=float) for n in _CURVE_ARRAYS)
            )
            for c in curves
        )
    )
