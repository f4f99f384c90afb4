"""Rows of the profile database as records, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from atb.devices.contract import Block
from atb.models.architecture import Architecture
from atb.profiler.conditions import Conditions
from atb.profiler.record import (
    BlockRecord,
    Campaign,
    Failure,
    block_from_text,
    block_to_text,
)
from atb.profiler.subject import parse_subject

__all__ = [
    "block_to_row",
    "failure_to_row",
    "pack",
    "row_to_block",
    "row_to_campaign",
    "row_to_failure",
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
        "artefact_sha256": record.artefact_sha256,
        "state": pack(dict(record.state)),
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
        "detail": failure.detail,
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
    )


def _optional(convert: Callable[[_From], _To], value: _From | None) -> _To | None:
    return None if value is None else convert(value)
