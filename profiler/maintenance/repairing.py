"""Taking rows that cannot be read out of a profile database, into a file of their own.

A database that some other program changed would be refused by every command. Nothing else of `atb`
deletes a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from atb.files import write_document
from atb.profiler.database import (
    ROW_ERRORS,
    ProfileDatabase,
    check_part,
    check_texts,
    exclusive_transaction,
    row_to_campaign,
    row_to_conditions,
    schema,
    why,
)
from atb.profiler.maintenance.merging import PARTS

_KIND, _FORMAT = "rows-taken-out", 1
_AT_ONCE = 500  # rows by a statement


@dataclass(frozen=True, slots=True)
class TakenRow:
    """A row that was taken out.

    Attributes:
        table: Where it lay, such as `blocks`.
        id: Its number there.
        reason: Why it cannot be read.
        values: Its content by column.
    """

    table: str
    id: int
    reason: str
    values: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As plain values; what JSON does not know is written as Python writes it."""
        values = {name: _plain(value) for name, value in self.values.items()}
        return {"table": self.table, "id": self.id, "reason": self.reason, "values": values}


def repair(database: ProfileDatabase, out: Path) -> list[TakenRow]:
    """Take out every row that cannot be read, with all rows that belong to it.

    Args:
        database: Opened with `create=True`.
        out: Where the rows are kept; written before they are deleted, and only if there are any.

    Raises:
        OSError: The file cannot be written; the database is as it was.
    """
    with exclusive_transaction(database.engine, database.location) as connection:
        taken = [*_bad_campaigns(connection), *_bad_parts(connection)]
        gone = {row.id for row in taken if row.table == "campaigns"}
        taken += _orphans(connection, gone, {(row.table, row.id) for row in taken})
        if not taken:
            return []
        rows = [row.to_json() for row in taken]
        write_document(out, {"rows": rows}, kind=_KIND, format=_FORMAT)
        for name in (*PARTS, "campaigns", "conditions"):  # what refers to others goes first
            _delete(connection, name, [row.id for row in taken if row.table == name])
    return taken


def _bad_campaigns(connection: sa.Connection) -> Iterator[TakenRow]:
    """Conditions and campaigns that cannot be read; a campaign needs its conditions."""
    table = schema.conditions
    known: dict[int, Mapping[str, Any]] = {}
    for row in _rows(connection, table):
        known[row["id"]] = row
        reason = _reason(row_to_conditions, _with_conditions(row, row))
        if reason is not None:
            yield TakenRow("conditions", row["id"], reason, row)
    nothing = {"key": None, "document": None}
    for row in _rows(connection, schema.campaigns):
        values = _with_conditions(row, known.get(row["conditions_id"], nothing))
        reason = _reason(row_to_campaign, values)
        if reason is not None:
            yield TakenRow("campaigns", row["id"], reason, row)


def _rows(connection: sa.Connection, table: sa.Table) -> Iterator[dict[str, Any]]:
    for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings():
        yield dict(row)


def _with_conditions(row: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "document": known["document"], "conditions_key": known["key"]}


def _bad_parts(connection: sa.Connection) -> Iterator[TakenRow]:
    campaign: Any = SimpleNamespace(conditions=None, label="")
    for name, table in PARTS.items():
        for row in _rows(connection, table):
            try:
                check_part(name, row, campaign)
            except ROW_ERRORS as error:
                yield TakenRow(name, row["id"], why(error), row)


def _orphans(
    connection: sa.Connection, gone: set[int], taken: set[tuple[str, int]]
) -> Iterator[TakenRow]:
    """Rows of campaigns that are taken out or were never there."""
    campaigns = schema.campaigns
    left = set(connection.execute(sa.select(campaigns.c.id)).scalars()) - gone
    for name, table in PARTS.items():
        for row in _rows(connection, table):
            if row["campaign_id"] not in left and (name, row["id"]) not in taken:
                yield TakenRow(name, row["id"], "its campaign cannot be read", row)


def _reason(decode: Any, values: Mapping[str, Any]) -> str | None:
    try:
        check_texts(values)
        decode(SimpleNamespace(**values))
    except ROW_ERRORS as error:
        return why(error)
    return None


def _delete(connection: sa.Connection, name: str, numbers: Sequence[int]) -> None:
    table = schema.metadata.tables[f"atb_{name}"]
    for begin in range(0, len(numbers), _AT_ONCE):
        connection.execute(table.delete().where(table.c.id.in_(numbers[begin : begin + _AT_ONCE])))


def _plain(value: Any) -> Any:
    plain = value is None or isinstance(value, str | int)
    return value if plain or (isinstance(value, float) and math.isfinite(value)) else repr(value)
