"""Which campaign a command is: found by what makes it the same command, or entered anew.

The caller holds the transaction of `alone` (engine.py), so that of two processes that open the same
campaign, conditions or name at the same time one finds what the other made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from atb.profiler import Conditions
from atb.profiler.database.rows import pack
from atb.profiler.database.schema import campaigns, conditions

__all__ = ["command_key", "enter_campaign", "enter_conditions", "find_campaign"]


def command_key(content: Sequence[Any]) -> str:
    """A hash of what makes a command the same command: JSON-able values."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def find_campaign(connection: sa.Connection, column: str, value: str) -> sa.Row[Any] | None:
    """The newest campaign with this value in a column, with the document of its conditions."""
    query = (
        sa.select(campaigns, conditions.c.document, conditions.c.key.label("conditions_key"))
        .join(conditions, campaigns.c.conditions_id == conditions.c.id)
        .where(campaigns.c[column] == value)
        .order_by(campaigns.c.number.desc(), campaigns.c.id.desc())
    )
    return connection.execute(query).first()


def enter_campaign(
    connection: sa.Connection, values: Mapping[str, Any], *, number: int = 0, label: str = ""
) -> None:
    """Enter a campaign under a label that is free.

    Args:
        connection: See above.
        values: All other columns.
        number: With `label`, what it was called elsewhere; kept where nobody has that label.
        label: See `number`.
    """
    if not label or _taken(connection, label):
        number, label = _next_label(connection, values["name"])
    connection.execute(campaigns.insert().values(**values, number=number, label=label))


def _next_label(connection: sa.Connection, name: str) -> tuple[int, str]:
    """The next number of a name, and the label that it makes."""
    query = sa.select(sa.func.max(campaigns.c.number)).where(campaigns.c.name == name)
    number = (connection.execute(query).scalar() or 0) + 1
    while True:
        label = name if number == 1 else f"{name}-{number}"
        # someone may have chosen that very text as a name
        if not _taken(connection, label):
            return number, label
        number += 1


def _taken(connection: sa.Connection, label: str) -> bool:
    query = sa.select(campaigns.c.id).where(campaigns.c.label == label)
    return connection.execute(query).first() is not None


def enter_conditions(connection: sa.Connection, key: str, document: str | Conditions) -> int:
    """The number of conditions in this database; they are entered where they are new."""
    known = connection.execute(sa.select(conditions.c.id).where(conditions.c.key == key)).scalar()
    if known is not None:
        return int(known)
    text = document if isinstance(document, str) else pack(document.to_json())
    row = {"key": key, "document": text}
    made = connection.execute(conditions.insert().values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])
