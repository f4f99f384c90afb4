"""The one gate for rows of a profile database, on the way in and on the way out.

A row is right when it can be decoded (rows.py). Whatever is written was decoded before: what a
device sent, what another database or an exported file brings. What is read and is not right is
named, with the command that takes it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from atb.errors import AtbError, BadFile
from atb.profiler.database.rows import (
    row_to_block,
    row_to_campaign,
    row_to_failure,
    row_to_load,
    row_to_within,
)
from atb.text import printable

if TYPE_CHECKING:
    from atb.profiler import Campaign

__all__ = [
    "ROW_ERRORS",
    "BadRow",
    "check_part",
    "check_rows",
    "check_texts",
    "decode_rows",
    "shortened",
    "why",
]

#: What decoding a row raises that is none.
ROW_ERRORS = (
    AtbError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
_MOST_CHARACTERS = 200

_T = TypeVar("_T")


class BadRow(ValueError):
    """A row that cannot be decoded; the text says which one, and why."""


def why(error: BaseException) -> str:
    """What is wrong with a row, in a few printable words."""
    text = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return shortened(text or type(error).__name__)


def shortened(text: str) -> str:
    """What came, as far as a sentence has room for it."""
    return printable(text[:_MOST_CHARACTERS])[:_MOST_CHARACTERS]


def decode_rows(
    decode: Callable[[Any], _T], rows: Iterable[Any], table: str, location: str
) -> list[_T]:
    """Decode rows that were read.

    Args:
        decode: Makes a record of a row, or raises one of `ROW_ERRORS`.
        rows: With their `id`.
        table: Where they lie, such as `blocks`.
        location: What the database is called.

    Raises:
        BadFile: One cannot be decoded.
    """
    found = []
    for row in rows:
        try:
            check_texts(row._mapping)
            found.append(decode(row))
        except ROW_ERRORS as error:
            raise BadFile(
                f"{location} has a row that cannot be read (row {row.id} of its {table}: "
                f"{why(error)}): take such rows out with `atb database repair --db {location}`, "
                "which keeps them in a file."
            ) from error
    return found


def check_rows(
    campaign: Mapping[str, Any],
    conditions: Mapping[str, Any],
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Look whether a campaign with all that belongs to it can be read where it is written.

    Args:
        campaign: Values by column of the campaign.
        conditions: Their `key` and `document`.
        parts: Rows of sessions, blocks, loads and failures, by these names.

    Raises:
        BadRow: A row cannot be decoded, is there twice, or holds text that no database takes.
    """
    known = {
        **campaign,
        "id": 0,
        "conditions_key": conditions["key"],
        "document": conditions["document"],
    }
    try:
        check_texts(known)
        decoded = row_to_campaign(SimpleNamespace(**known))
    except ROW_ERRORS as error:
        label = shortened(str(campaign.get("label")))
        raise BadRow(f"the campaign {label}: {why(error)}") from error
    places = set()
    for name, rows in parts.items():
        for number, row in enumerate(rows, start=1):
            try:
                check_part(name, row, decoded)
                place = (
                    (row["architecture"], row["launch"], row["block"]) if name == "blocks" else ()
                )
                if place and place in places:
                    raise ValueError(f"it has the place of another one, {place}")
                places.add(place)
            except ROW_ERRORS as error:
                raise BadRow(
                    f"row {number} of the {name} of the campaign {shortened(decoded.label)}: "
                    f"{why(error)}"
                ) from error


def check_part(name: str, row: Mapping[str, Any], campaign: Campaign | None) -> None:
    """Look whether a row that belongs to a campaign can be decoded.

    Args:
        name: Of its table: `sessions`, `blocks`, `loads` or `failures`.
        row: Values by column.
        campaign: What it belongs to.

    Raises:
        AtbError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
            ValueError: It cannot; these are `ROW_ERRORS`.
    """
    check_texts(row)
    values: Any = SimpleNamespace(**row)
    if name == "failures":
        row_to_failure(campaign, values)  # type: ignore[arg-type]
    else:
        {"sessions": row_to_within, "blocks": row_to_block, "loads": row_to_load}[name](values)


def check_texts(row: Mapping[Any, Any]) -> None:
    """Look whether every text of a row is one.

    Raises:
        ValueError: One holds what no encoding and no database knows.
    """
    for name, value in row.items():
        if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            raise ValueError(f"its {name} holds characters that are none")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
