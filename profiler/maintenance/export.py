"""A profile database as a flat table in a Parquet or CSV file, and back.

History of formats:
    1  measurements, one row each; or, with all raw rows, a `record` a row
    2  a text of a CSV file that a spreadsheet would take for a formula has a `'` before it

A file of measurements is for people and their tools. One of raw rows holds everything, so that a
database that imports it says the same: each row is one row of the database, and the column
`record` tells of which table. A CSV file holds numbers as Python writes them, which loses nothing.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from atb.errors import BadFile, InputError, MissingExtra
from atb.files import atomic_path
from atb.models import Architecture
from atb.profiler.database import ROW_ERRORS, BadRow, schema, shortened, why
from atb.profiler.maintenance.merging import PARTS, CampaignRows
from atb.profiler.statistics import Measurement

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
SUFFIXES = (".parquet", ".csv")
_CAMPAIGN = "campaign"
#: Of a file of raw rows: what each row says beside the columns of its table.
_FRAME = {
    "format": sa.Integer(),
    "record": sa.Text(),
    "campaign_uuid": sa.Text(),
    "conditions_key": sa.Text(),
    "conditions": sa.Text(),
}
#: What begins a formula, behind any number of the marks that say that it is none.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_ROWS = "rows"  # how many the file has; the last column, so that a cut file shows
_DTYPES = {"Integer": "Int64", "BigInteger": "Int64", "Double": "Float64"}


def _columns_of(table: sa.Table) -> dict[str, sa.Column[Any]]:
    own = ("id", "campaign_id", "conditions_id", "uuid")
    return {column.name: column for column in table.columns if column.name not in own}


#: Columns by kind of record, and of all of them.
_RECORDS = {
    _CAMPAIGN: _columns_of(schema.campaigns),
    **{n: _columns_of(t) for n, t in PARTS.items()},
}
_COLUMNS = {
    **_FRAME,
    **{name: column.type for columns in _RECORDS.values() for name, column in columns.items()},
    _ROWS: sa.Integer(),
}


def check_output(path: Path) -> None:
    """Refuse what could not be written, before anything is read.

    Raises:
        InputError: The name has another ending than those of `SUFFIXES`.
        MissingExtra: It is a Parquet file and pyarrow is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path} ends neither in {' nor in '.join(SUFFIXES)}: choose one of these formats."
        )
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra("pyarrow", "parquet")


# -------------------------------------------------------------------- measurements


def measurement_rows(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """One flat row a measurement: what was timed, under which conditions, and what was found."""
    return [
        {
            "format": FORMAT,
            "campaign": m.campaign,
            "architecture": str(m.subject),
            **_numbers(m),
            "latency_seconds": float(m.latency_seconds),
            "latency_low_seconds": float(m.interval_seconds[0]),
            "latency_high_seconds": float(m.interval_seconds[1]),
            "wall_seconds": float(m.wall_seconds),
            "estimator": m.estimator,
            "flagged": m.flagged,
            "reasons": "; ".join(m.reasons),
            "launches": m.launches,
            "blocks": len(m.blocks),
            **_flat(m.conditions.to_json()),
        }
        for m in measurements
    ]


def _numbers(measurement: Measurement) -> dict[str, int | None]:
    shape = measurement.subject
    names = ("layers", "hidden", "heads", "qkv", "feed_forward")
    known = isinstance(shape, Architecture)
    return {name: getattr(shape, name) if known else None for name in names}


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the platform with its name before them; lists as text."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}_{key}": fact for key, fact in value.items()})
        elif isinstance(value, list):
            flat[name] = ",".join(map(str, value))
        else:
            flat[name] = value
    return flat


# -------------------------------------------------------------------- raw rows


def raw_rows(campaigns: Iterator[CampaignRows]) -> list[dict[str, Any]]:
    """Everything that belongs to campaigns, a row for each row of the database."""
    rows = []
    for found in campaigns:
        uuid = found.campaign["uuid"]
        frame = {"format": FORMAT, "record": _CAMPAIGN, "campaign_uuid": uuid}
        known = found.conditions
        campaign = {name: value for name, value in found.campaign.items() if name != "uuid"}
        conditions = {"conditions_key": known["key"], "conditions": known["document"]}
        rows.append({**frame, **conditions, **campaign})
        for name, part in found.parts.items():
            rows += [{**frame, "record": name, **values} for values in part]
    return [{**row, _ROWS: len(rows)} for row in rows]


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], *, raw: bool) -> None:
    """Write rows as a table, whole or not at all.

    Args:
        path: Checked by `check_output`.
        rows: From `measurement_rows`, or with `raw` from `raw_rows`.
        raw: See `rows`.
    """
    import pandas as pd

    columns = list(_COLUMNS) if raw else list(dict.fromkeys(name for row in rows for name in row))
    frame = pd.DataFrame(
        {
            name: pd.Series([row.get(name) for row in rows], dtype=_dtype(name, rows, raw=raw))
            for name in columns
        }
    )
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            texts = [name for name in columns if frame[name].dtype == "string"]
            quoting: Literal[0, 2] = csv.QUOTE_MINIMAL
            for name in texts:
                guarded = frame[name].map(_guarded, na_action="ignore")
                frame[name] = guarded.astype("string")
                if any("\r" in text for text in guarded.dropna()):
                    quoting = csv.QUOTE_NONNUMERIC  # it ends a line, and is not quoted else
            frame.to_csv(temporary, index=False, lineterminator="\n", quoting=quoting)
        else:
            frame.to_parquet(temporary, engine="pyarrow", index=False)


def _guarded(text: str) -> str:
    """A text that a spreadsheet shows and does not carry out; see `_unguarded`."""
    return f"'{text}" if _FORMULA.match(text) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _dtype(name: str, rows: Sequence[Mapping[str, Any]], *, raw: bool) -> Any:
    """The column's type with room for what is absent."""
    if raw:
        return _DTYPES.get(type(_COLUMNS[name]).__name__, "string")
    kinds = {type(row[name]) for row in rows if row.get(name) is not None}
    for kind, dtype in ((bool, "boolean"), (int, "Int64"), (float, "Float64")):
        if kinds == {kind}:
            return dtype
    return "Float64" if kinds == {int, float} else "string"


# -------------------------------------------------------------------- reading back


def read_raw(path: Path) -> list[CampaignRows]:
    """Read a file of raw rows.

    Raises:
        BadFile: It is missing, foreign, truncated, of a newer format, or holds measurements only.
        MissingExtra: It is a Parquet file and pyarrow is not installed.
    """
    check_output(path)
    frame = _read_table(path)
    if "latency_seconds" in frame and "record" not in frame:
        raise BadFile(
            f"{path} holds measurements without their raw blocks: export it with --blocks."
        )
    if not {"format", "record", "campaign_uuid"} <= set(frame):
        raise BadFile(f"{path} is no export of a profile database: pass one of `atb database`.")
    try:
        return _campaigns([_values(n, row) for n, row in enumerate(_named(frame), start=1)])
    except BadRow as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, what: str) -> BadFile:
    return BadFile(f"{path} is truncated or damaged ({shortened(what)}): export it again.")


def _read_table(path: Path) -> pd.DataFrame:
    """The table with absent values as None, or in a CSV file as empty text."""
    import pandas as pd

    if not path.is_file():
        raise BadFile(f"There is no file {path}: check the path.")
    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[])
            if "format" not in frame:
                return frame
            return frame.where(frame["format"].isin(["1"]), frame.map(_unguarded), axis="index")
        frame = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError, TypeError, LookupError, NotImplementedError) as error:
        # also pyarrow's own, and what its metadata lack
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise _damaged(path, line) from error
    return frame.astype(object).where(frame.notna(), None)


def _named(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Cells by column, row by row."""
    for cells in frame.itertuples(index=False, name=None):
        yield dict(zip(frame.columns, cells, strict=True))


def _values(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a row in the types of their columns.

    Args:
        number: Of the row, the first one is 1.
        row: Its cells.

    Raises:
        BadRow: A cell is missing or of another type.
        BadFile: It is of a newer format.
    """
    try:
        written = int(row["format"])
        if not 1 <= written <= FORMAT:
            raise BadFile(
                f"The export has format {written} and this version reads up to {FORMAT}: "
                "use the version of atb that wrote it."
            )
        record = row["record"]
        if record not in _RECORDS:
            raise ValueError(f"unknown record {record!r}")
        values = {name: _cell(row[name], _COLUMNS[name], nullable=True) for name in _FRAME}
        for name, column in _RECORDS[record].items():
            values[name] = _cell(row[name], column.type, nullable=bool(column.nullable))
        return {**values, _ROWS: int(row[_ROWS])}
    except BadFile:
        raise
    except ROW_ERRORS as error:
        raise BadRow(f"row {number}: {why(error)}") from error


def _cell(value: Any, kind: Any, *, nullable: bool) -> Any:
    if value is None or value == "":
        # CSV knows no difference between absent and empty; no text that may be absent is empty
        if nullable:
            return None
        if not isinstance(kind, sa.Text):
            raise ValueError("a number is missing")
        return ""
    if isinstance(kind, sa.Integer):
        return int(value)
    return float(value) if isinstance(kind, sa.Double) else str(value)


def _campaigns(rows: Sequence[Mapping[str, Any]]) -> list[CampaignRows]:
    """Rows by campaign, each checked."""
    if not rows or {row[_ROWS] for row in rows} != {len(rows)}:
        raise BadRow(f"{len(rows)} rows are there")
    heads: dict[str, Mapping[str, Any]] = {}
    parts: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for number, row in enumerate(rows, start=1):
        uuid, record = row["campaign_uuid"], row["record"]
        if (record == _CAMPAIGN) == (uuid in heads):
            what = "is there twice" if uuid in heads else "comes after its rows, or not at all"
            raise BadRow(f"row {number}: the campaign {shortened(str(uuid))} {what}")
        if record == _CAMPAIGN:
            heads[uuid], parts[uuid] = row, {name: [] for name in PARTS}
        else:
            parts[uuid][record].append({name: row[name] for name in _RECORDS[record]})
    return [
        CampaignRows(
            {**{name: head[name] for name in _RECORDS[_CAMPAIGN]}, "uuid": uuid},
            {"key": head["conditions_key"], "document": head["conditions"]},
            parts[uuid],
        )
        for uuid, head in heads.items()
    ]
