"""Rows of the profile database as records, and back.

Reading is strict: a row that some other program wrote, or that came with somebody else's database,
is decoded wholly or refused. `atb.profiler.database.row_checks` says which row it was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from atb.devices import Block, LaunchFailure, Loaded
from atb.devices.worker import parse_line, parse_number
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

__all__ = [
    "block_to_row",
    "failure_to_row",
    "load_to_row",
    "pack",
    "row_to_block",
    "row_to_campaign",
    "row_to_conditions",
    "row_to_failure",
    "row_to_load",
    "row_to_sentinels",
    "row_to_within",
]

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
    """The reverse of `block_to_row`.

    Raises:
        AtbError, ValueError, TypeError, KeyError: It is no block.
    """
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
    """The reverse of `load_to_row`.

    Raises:
        AtbError, ValueError, TypeError, KeyError: It is no load.
    """
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
    """The reverse of `failure_to_row`.

    Raises:
        AtbError, ValueError, TypeError: It is no failure.
    """
    subject = _optional(parse_subject, row.architecture)
    if row.cause not in LaunchFailure.CAUSES:
        raise ValueError(f"{row.cause!r} is no cause of a failure")
    detail, at = _text(row.detail, "detail"), parse_number(row.at, "at")
    return Failure(subject, campaign.conditions, campaign.label, row.cause, detail, at)


def row_to_within(row: Any) -> float | None:
    """The precision that was asked for when a campaign was begun or resumed.

    Raises:
        ValueError: The row is no session.
    """
    parse_number(row.started_at, "started_at")
    return _optional(lambda within: parse_number(within, "within"), row.within)


def row_to_conditions(row: Any) -> Conditions:
    """Conditions from their `document` and the `conditions_key` that stands for them.

    Raises:
        AtbError, ValueError, TypeError, KeyError, AttributeError: They are none, or others than
            their key says: rows would count as measured under what they were not measured under.
    """
    found = Conditions.from_json(parse_line(_text(row.document, "document")))
    if row.conditions_key != found.key:
        raise ValueError(f"its conditions have the key {found.key}, not {row.conditions_key!r}")
    return found


def row_to_campaign(row: Any) -> Campaign:
    """A campaign from its row, with what `row_to_conditions` needs.

    Raises:
        AtbError, ValueError, TypeError, KeyError, AttributeError: It is no campaign.
    """
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
