"""From older formats of the profile database to the present one, a step for each number.

A step is frozen when its format is released: it names tables and columns as they were then, and
nothing of profiler/database/schema.py, which goes on changing. The caller holds the transaction,
so that a kill leaves the older format whole.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from atb.profiler.database.schema import FORMAT

#: Any fixed value, so that two copies of a file give its campaigns the same names.
_NAMESPACE = uuid.UUID("5d1f6a0e-3c1b-4f0e-9a55-6f1f0f2b7a11")
_ROWS_AT_ONCE = 1000


def migrate(connection: sa.Connection, number: int) -> None:
    """Bring a database of an older format to the present one.

    Args:
        connection: In a transaction of its own.
        number: The format that it has.
    """
    for step in range(number + 1, FORMAT + 1):
        STEPS[step](connection)
    connection.execute(
        sa.text("UPDATE atb_meta SET value = :number WHERE name = 'format'"),
        {"number": str(FORMAT)},
    )


def _to_format_2(connection: sa.Connection) -> None:
    double = sa.Double().compile(dialect=connection.dialect)
    for statement in (
        "ALTER TABLE atb_campaigns ADD COLUMN uuid TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE atb_blocks ADD COLUMN state_after TEXT",
        "ALTER TABLE atb_blocks ADD COLUMN cache_sentinel TEXT",
        f"ALTER TABLE atb_blocks ADD COLUMN started_at {double} NOT NULL DEFAULT 0",
    ):
        connection.exec_driver_sql(statement)
    _name_campaigns(connection)
    _note_starts(connection)
    _mark_fixed_shapes(connection)
    connection.exec_driver_sql("CREATE UNIQUE INDEX atb_campaigns_uuid ON atb_campaigns (uuid)")
    connection.exec_driver_sql(
        "CREATE INDEX atb_blocks_begun ON atb_blocks (campaign_id, started_at)"
    )
    _loads_of_format_2().create(connection)


def _name_campaigns(connection: sa.Connection) -> None:
    """A uuid from what no later writing changes, so that two copies of a file agree on it."""
    campaigns = connection.exec_driver_sql("SELECT id, key, number FROM atb_campaigns").all()
    sessions = connection.exec_driver_sql(
        "SELECT campaign_id, started_at FROM atb_sessions ORDER BY id DESC"
    ).all()
    begun = {row.campaign_id: row.started_at for row in sessions}  # the first one stays
    _update(
        connection,
        "UPDATE atb_campaigns SET uuid = :value WHERE id = :id",
        {
            row.id: uuid.uuid5(_NAMESPACE, json.dumps([row.key, row.number, begun.get(row.id)])).hex
            for row in campaigns
        },
    )


def _note_starts(connection: sa.Connection) -> None:
    """When each block began, as its readings say; in Python, which reads numbers exactly."""
    query = sa.text("SELECT id, readings FROM atb_blocks WHERE id > :last ORDER BY id LIMIT :most")
    last = 0
    while rows := connection.execute(query, {"last": last, "most": _ROWS_AT_ONCE}).all():
        _update(
            connection,
            "UPDATE atb_blocks SET started_at = :value WHERE id = :id",
            {row.id: _start_of(row.readings) for row in rows},
        )
        last = rows[-1].id


def _start_of(readings: Any) -> float:
    """When a block began; what cannot be read is refused where the row is read, not here."""
    try:
        return float(json.loads(readings)["started_at"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0.0


def _mark_fixed_shapes(connection: sa.Connection) -> None:
    """Tell latencies of graphs with fixed shapes from those of free ones, which are other numbers.

    Timing graphs of onnxruntime had fixed shapes while format 1 was written.
    """
    found = connection.exec_driver_sql("SELECT id, document FROM atb_conditions").all()
    for row in found:
        try:
            document = json.loads(row.document)
        except (ValueError, TypeError, RecursionError):
            continue  # as above
        if not isinstance(document, dict) or document.get("runtime") != "onnxruntime":
            continue
        document["runtime_version"] = f"{document.get('runtime_version')}, graphs of fixed shapes"
        text = json.dumps(document, sort_keys=True)
        connection.execute(
            sa.text("UPDATE atb_conditions SET key = :key, document = :document WHERE id = :id"),
            {
                "key": hashlib.sha256(text.encode()).hexdigest()[:16],
                "document": json.dumps(document, separators=(",", ":")),
                "id": row.id,
            },
        )


def _update(connection: sa.Connection, statement: str, values: Mapping[int, Any]) -> None:
    if values:
        rows = [{"id": row, "value": value} for row, value in values.items()]
        connection.execute(sa.text(statement), rows)


def _loads_of_format_2() -> sa.Table:
    metadata = sa.MetaData()
    sa.Table("atb_campaigns", metadata, sa.Column("id", sa.Integer, primary_key=True))
    return sa.Table(
        "atb_loads",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
        sa.Column("architecture", sa.Text, nullable=False),
        sa.Column("launch", sa.Integer, nullable=False),
        sa.Column("load_seconds", sa.Double, nullable=False),
        sa.Column("first_seconds", sa.Double, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger),
        sa.Column("output_checksum", sa.Double),
        sa.Column("artefact_bytes", sa.BigInteger, nullable=False),
        sa.Column("artefact_sha256", sa.Text, nullable=False),
        sa.Column("providers", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Index("atb_loads_campaign", "campaign_id"),
    )


#: What makes each format from the one before.
STEPS: Mapping[int, Callable[[sa.Connection], None]] = {2: _to_format_2}
