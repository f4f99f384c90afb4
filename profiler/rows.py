"""Rows of the profile database as records, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from atb.devices.contract import Block, Loaded
from atb.models.architecture import Architecture
from atb.profiler.conditions import Conditions
from atb.profiler.record import (
    BlockRecord,
    Campaign,
    Failure,
    LoadRecord,
    block_from_text,
    block_to_text,
)
from atb.profiler.subject import parse_subject

__all__ = [
    "block_to_row",
    "failure_to_row",
    "load_to_row",
    "pack",
    "row_to_block",
    "row_to_campaign",
    "row_to_failure",
    "row_to_load",
    "row_to_sentinels",
]

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


def row_to_block(row: sa.Row[Any]) -> BlockRecord:
    """The reverse of `block_to_row`."""
    before, after = row_to_sentinels(row)
    return BlockRecord(
        subject=parse_subject(row.architecture),
        launch=row.launch,
        block=row.block,
        readings=block_from_text(row.readings),
        sentinel_before=before,
        sentinel_after=after,
        artefact_sha256=row.artefact_sha256,
        state=json.loads(row.state),
        state_after={} if row.state_after is None else json.loads(row.state_after),
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


def row_to_load(row: sa.Row[Any]) -> LoadRecord:
    """The reverse of `load_to_row`."""
    return LoadRecord(
        subject=parse_subject(row.architecture),
        launch=row.launch,
        loaded=Loaded(
            load_seconds=row.load_seconds,
            first_seconds=row.first_seconds,
            providers=tuple(json.loads(row.providers)),
            output_checksum=math.nan if row.output_checksum is None else row.output_checksum,
            memory_bytes=row.memory_bytes,
        ),
        artefact_sha256=row.artefact_sha256,
        artefact_bytes=row.artefact_bytes,
        at=row.at,
    )


def row_to_sentinels(row: sa.Row[Any]) -> tuple[Block | None, Block | None]:
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


def row_to_failure(campaign: Campaign, row: sa.Row[Any]) -> Failure:
    """The reverse of `failure_to_row`."""
    subject = _optional(parse_subject, row.architecture)
    return Failure(subject, campaign.conditions, campaign.label, row.cause, row.detail, row.at)


def row_to_campaign(row: sa.Row[Any]) -> Campaign:
    """A campaign from its row and the document of its conditions."""
    return Campaign(
        id=row.id,
        label=row.label,
        space=row.space,
        seed=row.seed,
        launches=row.launches,
        sentinel=Architecture.parse(row.sentinel),
        conditions=Conditions.from_json(json.loads(row.document)),
        uuid=row.uuid,
    )


def _storable(text: str) -> str:
    """Last words of a process without what no database takes: zero bytes, halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _optional(convert: Callable[[_From], _To], value: _From | None) -> _To | None:
    return None if value is None else convert(value)
