"""`atb predict`: latencies of architectures that were not measured, or a column of any table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from atb.commands.arguments import (
    DEFAULT_PREDICTOR,
    ConditionOptions,
    Json,
    Options,
    Order,
    TableFile,
    completion,
    option,
    print_emulated,
    print_reading,
    reject_conflicts,
    require_same_order,
)
from atb.commands.output import Table, print_result, print_status
from atb.errors import InputError
from atb.text import printable

if TYPE_CHECKING:
    from atb.devices import RunSettings
    from atb.models import Architecture
    from atb.predictor import WorkPredictor


class ShownOptions(Options, panel="What is shown"):
    """What else is shown of a prediction."""

    force: bool = option(
        "--force", default=False, help="Predict even if the predictor holds for other conditions."
    )
    explain: bool = option(
        "--explain",
        default=False,
        help="Show where the predicted time goes, and what smaller dimensions would save.",
    )
    picture: Path | None = option(
        default=None,
        metavar="FILE",
        help="Draw the parts of --explain to this file, .png or .svg; by default to none.",
    )


def predict(
    architectures: Annotated[
        list[str] | None,
        Argument(
            metavar="ARCH",
            help="Names of `atb space list`, or shapes such as L4-H312-A12-Q312-F1200.",
            autocompletion=completion.architectures,
        ),
    ] = None,
    predictor: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Use the latency predictor in this file.",
            show_default=f"{DEFAULT_PREDICTOR}, or that of the known --device",
        ),
    ] = None,
    *,
    conditions: ConditionOptions,
    shown: ShownOptions,
    table: TableFile = None,
    order: Order = None,
    json: Json = False,
) -> None:
    """Predict latencies, each with its interval, also on a known --device that is not here.

    With --table, predict the rows of a table by a predictor of its column, and print them as CSV.

    Example:
        atb predict tinybert-4 minilm-6 --predictor atb-runs/predictor.json
    """
    from atb.models import resolve

    if table is not None:
        if architectures:
            raise InputError("Architectures came beside --table: leave one of the two out.")
        switches = {name: getattr(shown, name) for name in ("explain", "force", "picture")}
        reject_conflicts("--table", **conditions.wanted, **switches)
        _predict_table(predictor or DEFAULT_PREDICTOR, table, order, json=json)
        return
    reject_conflicts("architectures", order=order)
    if not architectures:
        raise InputError("There is nothing to predict: name architectures, or give --table.")
    shapes = [resolve(text) for text in architectures]
    _check_picture(shown.picture, explain=shown.explain, count=len(shapes))
    fitted = _find(predictor, conditions.wanted, force=shown.force)
    print_emulated(fitted.conditions)
    _print(fitted, shapes, shown, json=json)


def _predict_table(predictor: Path, path: Path, order: str | None, *, json: bool) -> None:
    """Print what a predictor of a column says of the rows of a table, as CSV or one document."""
    from atb.predictor import load_table_predictor
    from atb.predictor.tables import read_rows

    fitted = load_table_predictor(predictor)
    require_same_order(fitted, order)
    names = [feature.name for feature in fitted.features]
    read = read_rows(path, fitted.units, order)
    print_reading(read.notes)
    found = fitted.predict(read.rows, read.order)
    columns = {
        fitted.target: found.values.tolist(),
        "lower": found.lower.tolist(),
        "upper": found.upper.tolist(),
        "supported": found.supported.tolist(),
    }
    entries = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    if json:
        print_result({"target": fitted.target, "predictions": entries}, json=True)
        return
    writer = csv.DictWriter(sys.stdout, fieldnames=[*names, *columns], lineterminator="\n")
    writer.writerow({name: printable(name) for name in writer.fieldnames})
    for row, entry in zip(read.rows.tolist(), entries, strict=True):
        writer.writerow({**dict(zip(names, row, strict=True)), **entry})
    print_status(f"{fitted.model.coverage:.0%} of measurements lie within the interval")


def _print(
    fitted: WorkPredictor, shapes: Sequence[Architecture], shown: ShownOptions, *, json: bool
) -> None:
    entries = _entries(fitted, shapes, explain=shown.explain)
    if shown.picture is not None:
        _draw(entries[0]["parts_seconds"], shown.picture)
    explained = [part for entry in entries if shown.explain for part in _explained(entry)]
    print_result(
        {"conditions": fitted.conditions.to_json(), "predictions": entries},
        _table(entries, list(fitted.further)),
        *explained,
        json=json,
        status=[
            f"{fitted.conditions}; {fitted.coverage:.0%} of measurements lie within the interval"
        ],
    )


def _find(path: Path | None, asked: Mapping[str, Any], *, force: bool) -> WorkPredictor:
    """The predictor of a file, or of the known device that is asked for."""
    from atb.devices import find_known_file
    from atb.predictor import load

    device = asked["device"]
    if path is None and device is not None:
        if find_known_file(device) is not None:
            from atb.predictor.known_devices import find_known_device

            reject_conflicts(f"the known device {device}", force=force)
            return find_known_device(device).choose(**{**asked, "device": None})
        if not DEFAULT_PREDICTOR.exists():
            raise InputError(
                f"There is no known device {device!r} (`atb devices list` names those there are) "
                f"and no predictor {DEFAULT_PREDICTOR}: fit one with `atb predictor train`, or "
                "name one with --predictor."
            )
    path = path or DEFAULT_PREDICTOR
    fitted = load(path, _settings(asked))
    _require(fitted, path, asked, force=force)
    return fitted


def _settings(asked: Mapping[str, Any]) -> RunSettings:
    """What is asked of a predictor of many settings: the default ones where nothing is said."""
    from atb.devices import RunSettings

    own = ("precision", "threads", "batch", "sequence_length")
    return RunSettings(**{name: asked[name] for name in own if asked[name] is not None})


def _require(fitted: WorkPredictor, path: Path, asked: Mapping[str, Any], *, force: bool) -> None:
    """Make sure that the conditions asked for are the predictor's, or say what differs."""
    held = fitted.conditions.to_json()
    differ = [
        f"{name} {held[name]}, not {value}"
        for name, value in asked.items()
        if value is not None and value != held[name]
    ]
    if differ and not force:
        raise InputError(
            f"The predictor {path} holds for {' and '.join(differ)}: fit another one with "
            "`atb profile` and `atb predictor train`, or go on with --force."
        )
    if differ:
        print_status(f"forced: the predictor holds for {' and '.join(differ)}")


def _entries(
    fitted: WorkPredictor, shapes: Sequence[Architecture], *, explain: bool
) -> list[dict[str, Any]]:
    """What the document says of each architecture."""
    from atb.predictor import explain as split, savings
    from atb.predictor.fitting import rows_of

    predicted = fitted.predict_architectures(shapes)
    further = fitted.predict_further(rows_of(shapes))
    entries = []
    for i, shape in enumerate(shapes):
        entry: dict[str, Any] = {
            "architecture": str(shape),
            "latency_seconds": float(predicted.latency_seconds[i]),
            "interval_seconds": [
                float(predicted.lower_seconds[i]),
                float(predicted.upper_seconds[i]),
            ],
            "supported": bool(predicted.supported[i]),
            **{name: float(found.values[i]) for name, found in further.items()},
        }
        if explain:
            entry["parts_seconds"] = split(fitted, shape)
            entry["shrinking"] = [asdict(found) for found in savings(fitted, shape)]
        entries.append(entry)
    return entries


def _table(entries: Sequence[Mapping[str, Any]], further: Sequence[str]) -> Table:
    rows = []
    for entry in entries:
        seconds = (entry["latency_seconds"], *entry["interval_seconds"])
        cells = [entry["architecture"], *(f"{1e3 * one:.3g}" for one in seconds)]
        cells += [_shown(name, entry[name]) for name in further]
        rows.append([*cells, "" if entry["supported"] else "outside the measured range"])
    header = ("architecture", "latency ms", "from", "to", *map(_titled, further), "")
    return Table(header, rows, left=(0, 4 + len(further)))


def _explained(entry: Mapping[str, Any]) -> tuple[str | Table, ...]:
    """Where the time of an architecture goes, and what smaller dimensions would save."""
    parts = entry["parts_seconds"]
    smaller = [
        (
            s["dimension"],
            str(s["before"]),
            str(s["after"]),
            f"{1e6 * s['saved_seconds']:.1f}",
            f"{100 * s['saved_seconds'] / sum(parts.values()):.1f}",
        )
        for s in entry["shrinking"]
    ]
    return (
        "",
        f"{entry['architecture']}",
        Table(("part", "us"), [(name, f"{1e6 * part:.1f}") for name, part in parts.items()]),
        Table(("smaller", "from", "to", "saves us", "saves %"), smaller),
    )


def _titled(name: str) -> str:
    what, unit = name.rsplit("_", 1)
    return f"{what} {'MB' if unit == 'bytes' else 'mJ'}"


def _shown(name: str, value: float) -> str:
    return f"{value / 1e6:.3g}" if name.endswith("bytes") else f"{1e3 * value:.3g}"


def _check_picture(picture: Path | None, *, explain: bool, count: int) -> None:
    from atb.files import prepare_output

    if picture is None:
        return
    if not explain or count != 1:
        raise InputError("--picture draws --explain of one architecture: give both, and just one.")
    if picture.suffix not in (".png", ".svg"):
        raise InputError(f"--picture is {picture}: give a .png or a .svg file.")
    prepare_output(picture)


def _draw(parts: Mapping[str, float], path: Path) -> None:
    from atb.files import atomic_path
    from atb.report.pictures import work

    with atomic_path(path) as temporary:
        work(parts).save(temporary)
