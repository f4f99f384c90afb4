"""Rows of the profile database as records, and back.

Reading is strict: a row that some other program wrote, or that came with another database, is
decoded wholly, or refused by one of `ROW_ERRORS`. Whatever is written was decoded before: what a
device sent, what another database or an exported file brings. What is read and is not right is
named, with the command that takes it out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from atb.devices import Block, LaunchFailure, Loaded
from atb.devices.worker import parse_line, parse_number
from atb.errors import AtbError, BadFile
from atb.models import Architecture
from atb.profiler import (
    BlockRecord,
    Campaign,
    Conditions,
    Failure,
    LoadRecord,
    block_from_text,
    block_to_text,
    parse_subject,
)
from atb.text import printable

_UUID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_MOST_COUNT = 2**30  # a server holds a little more, and the next number must have room
_MOST_BYTES = 2**63 - 1

_From = TypeVar("_From")
_To = TypeVar("_To")


def pack(fields: Any) -> str:
    """Compact JSON."""
    return json.dumps(fields, separators=(",", ":"))


def block_to_row(campaign: Campaign, record: BlockRecord) -> dict[str, Any]:
    """A block as values by column."""
    return {
        "campaign_id": campaign.id,
        "architecture": str(record.subject),
        "launch": record.launch,
        "block": record.block,
        "readings": block_to_text(record.readings),
        "sentinel_before": _optional(block_to_text, record.sentinel_before),
        "sentinel_after": _optional(block_to_text, record.sentinel_after),
        "cache_sentinel": _optional(block_to_text, record.cache_sentinel),
        "artefact_sha256": record.artefact_sha256,
        "state": pack(dict(record.state)),
        "state_after": pack(dict(record.state_after)) if record.state_after else None,
        "started_at": record.readings.started_at,
    }


def row_to_block(row: Any) -> BlockRecord:
    """The reverse of `block_to_row`."""
    before, after = row_to_sentinels(row)
    readings = block_from_text(row.readings)
    if row.started_at != readings.started_at:
        raise ValueError(f"it began at {row.started_at} and at {readings.started_at}")
    return BlockRecord(
        subject=parse_subject(row.architecture),
        launch=_count(row.launch, "launch"),
        block=_count(row.block, "block"),
        readings=readings,
        sentinel_before=before,
        sentinel_after=after,
        artefact_sha256=_sha256(row.artefact_sha256),
        state=_state(row.state),
        state_after={} if row.state_after is None else _state(row.state_after),
        cache_sentinel=_optional(block_from_text, row.cache_sentinel),
    )


def load_to_row(campaign: Campaign, record: LoadRecord) -> dict[str, Any]:
    """A load as values by column."""
    loaded = record.loaded
    checksum = loaded.output_checksum
    return {
        "campaign_id": campaign.id,
        "architecture": str(record.subject),
        "launch": record.launch,
        "load_seconds": loaded.load_seconds,
        "first_seconds": loaded.first_seconds,
        "memory_bytes": loaded.memory_bytes,
        "output_checksum": None if math.isnan(checksum) else checksum,
        "artefact_bytes": record.artefact_bytes,
        "artefact_sha256": record.artefact_sha256,
        "providers": pack(list(loaded.providers)),
        "at": record.at,
    }


def row_to_load(row: Any) -> LoadRecord:
    """The reverse of `load_to_row`."""
    checksum, providers = row.output_checksum, json.loads(row.providers)
    if not isinstance(providers, list) or not all(isinstance(name, str) for name in providers):
        raise ValueError("its providers are no list of names")
    if not (checksum is None or isinstance(checksum, int | float)):
        raise ValueError("its checksum is no number")
    return LoadRecord(
        subject=parse_subject(row.architecture),
        launch=_count(row.launch, "launch"),
        loaded=Loaded(
            load_seconds=parse_number(row.load_seconds, "load_seconds"),
            first_seconds=parse_number(row.first_seconds, "first_seconds"),
            providers=tuple(providers),
            output_checksum=math.nan if checksum is None else checksum,
            memory_bytes=_optional(_bytes, row.memory_bytes),
        ),
        artefact_sha256=_sha256(row.artefact_sha256),
        artefact_bytes=_bytes(row.artefact_bytes),
        at=parse_number(row.at, "at"),
    )


def row_to_sentinels(row: Any) -> tuple[Block | None, Block | None]:
    """The sentinel's blocks before and after a block, of a row that has only them."""
    return (
        _optional(block_from_text, row.sentinel_before),
        _optional(block_from_text, row.sentinel_after),
    )


def failure_to_row(campaign: Campaign, failure: Failure) -> dict[str, Any]:
    """A failure as values by column."""
    return {
        "campaign_id": campaign.id,
        "architecture": _optional(str, failure.subject),
        "cause": failure.cause,
        "detail": _storable(failure.detail),
        "at": failure.at,
    }


def row_to_failure(campaign: Campaign, row: Any) -> Failure:
    """The reverse of `failure_to_row`."""
    subject = _optional(parse_subject, row.architecture)
    if row.cause not in LaunchFailure.CAUSES:
        raise ValueError(f"{row.cause!r} is no cause of a failure")
    detail, at = _text(row.detail, "detail"), parse_number(row.at, "at")
    return Failure(subject, campaign.conditions, campaign.label, row.cause, detail, at)


def row_to_within(row: Any) -> float | None:
    """The precision that was asked for when a campaign was begun or resumed."""
    parse_number(row.started_at, "started_at")
    return _optional(lambda within: parse_number(within, "within"), row.within)


def row_to_conditions(row: Any) -> Conditions:
    """Conditions from their `document` and the `conditions_key` that stands for them."""
    found = Conditions.from_json(parse_line(_text(row.document, "document")))
    if row.conditions_key != found.key:
        raise ValueError(f"its conditions have the key {found.key}, not {row.conditions_key!r}")
    return found


def row_to_campaign(row: Any) -> Campaign:
    """A campaign from its row, with what `row_to_conditions` needs."""
    if not _UUID.fullmatch(_text(row.uuid, "uuid")):
        raise ValueError(f"its uuid is {row.uuid!r}, which is no 32 hexadecimal digits")
    _text(row.key, "key")
    _text(row.name, "name")
    _count(row.number, "number")
    if not isinstance(row.seed, int) or abs(row.seed) > _MOST_BYTES:
        raise ValueError("its seed is no whole number")
    return Campaign(
        id=row.id,
        label=_text(row.label, "label"),
        space=_text(row.space, "space"),
        seed=row.seed,
        launches=_count(row.launches, "launches"),
        sentinel=Architecture.parse(row.sentinel),
        conditions=row_to_conditions(row),
        uuid=row.uuid,
    )


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return value


def _count(value: Any, name: str, *, most: int = _MOST_COUNT) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"its {name} is no count")
    return value


def _bytes(value: Any) -> int:
    return _count(value, "size", most=_MOST_BYTES)


def _sha256(value: Any) -> str:
    """A hash, never a path; empty where none was taken."""
    if value != "" and not _SHA256.fullmatch(_text(value, "artefact_sha256")):
        raise ValueError("its artefact_sha256 is no hash")
    return str(value)


def _state(text: str) -> dict[str, Any]:
    """Readings of a device: finite numbers, texts, or None, by name."""
    state = parse_line(text)
    for name, reading in state.items():
        if isinstance(reading, list | dict) or reading in (math.inf, -math.inf):
            raise ValueError(f"its state has {name} that is no reading")
    return state


def _storable(text: str) -> str:
    """Last words of a process without what no database takes: zero bytes, halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _optional(convert: Callable[[_From], _To], value: _From | None) -> _To | None:
    return None if value is None else convert(value)


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
    """Look whether every text of a row is one."""
    for name, value in row.items():
        if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            raise ValueError(f"its {name} holds characters that are none")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
