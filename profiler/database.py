"""The profile database: every block and every failure, append-only, one transaction a block."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from atb.models.architecture import Architecture
from atb.profiler import schema
from atb.profiler.conditions import Conditions
from atb.profiler.measurement import Measurement
from atb.profiler.record import (
    BlockRecord,
    Campaign,
    Failure,
    block_from_text,
    block_to_text,
)
from atb.profiler.statistics import sentinel_reference

__all__ = ["Campaign", "ProfileDatabase"]

_From = TypeVar("_From")
_To = TypeVar("_To")


class ProfileDatabase:
    """All measurements and failures, in a SQLite file or on a server by URL.

    A context manager that closes the connection.

    Args:
        location: Path of a SQLite file, or a URL of SQLAlchemy such as `postgresql+psycopg://...`.
        create: Whether to write; what is missing is made. Else it must exist and is only read.

    Raises:
        BadFile: It is missing, foreign, corrupted or of a newer format; it was not touched.
        InputError: It cannot be written.
    """

    def __init__(self, location: str | Path, *, create: bool = False) -> None:
        self.location = str(location)
        self.engine = schema.open_engine(self.location, create=create)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.engine.dispose()

    # ---------------------------------------------------------------- reading

    def conditions(self) -> list[Conditions]:
        """All conditions under which something was measured or failed."""
        rows = self._read(sa.select(schema.conditions.c.document).order_by(schema.conditions.c.id))
        return [Conditions.from_json(json.loads(row.document)) for row in rows]

    def campaigns(self) -> list[Campaign]:
        """All campaigns, the oldest first."""
        table, known = schema.campaigns, schema.conditions
        query = (
            sa.select(table, known.c.document)
            .join(known, table.c.conditions_id == known.c.id)
            .order_by(table.c.id)
        )
        return [_campaign(row) for row in self._read(query)]

    def blocks(self, campaign: Campaign) -> list[BlockRecord]:
        """All blocks of a campaign, ordered by architecture, launch and block."""
        table = schema.blocks
        query = (
            sa.select(table)
            .where(table.c.campaign_id == campaign.id)
            .order_by(table.c.architecture, table.c.launch, table.c.block)
        )
        return [_record(row) for row in self._read(query)]

    def measurements(
        self,
        conditions: Conditions | None = None,
        campaign: str | None = None,
        space: str | None = None,
    ) -> list[Measurement]:
        """One measurement for each architecture of each campaign; None leaves a filter open."""
        found: list[Measurement] = []
        for known in self._select(conditions, campaign, space):
            found += self._measurements(known)
        return found

    def failures(
        self,
        conditions: Conditions | None = None,
        campaign: str | None = None,
        space: str | None = None,
    ) -> list[Failure]:
        """All failures, the oldest first; None leaves a filter open."""
        found = []
        for known in self._select(conditions, campaign, space):
            table = schema.failures
            query = sa.select(table).where(table.c.campaign_id == known.id).order_by(table.c.id)
            for row in self._read(query):
                name = row.architecture
                architecture = None if name is None else Architecture.parse(name)
                found.append(
                    Failure(
                        architecture, known.conditions, known.label, row.cause, row.detail, row.at
                    )
                )
        return found

    # ---------------------------------------------------------------- writing

    def open_campaign(
        self,
        *,
        name: str,
        space: str,
        seed: int,
        conditions: Conditions,
        launches: int,
        identity: Sequence[Any] = (),
        new: bool = False,
    ) -> Campaign:
        """Find the campaign that the same command made, or make one.

        Args:
            name: What the user calls it.
            space: Name of the search space; empty where architectures are listed.
            seed: Of the samples.
            conditions: Of the measurements.
            launches: Of each architecture, before the stop rule asks for more.
            identity: What else makes a command another one: JSON-able values.
            new: Make one even if there is one.
        """
        content = [name, space, seed, conditions.key, launches, *identity]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        table = schema.campaigns
        with schema.translated(self.location), self.engine.begin() as connection:
            found = connection.execute(
                sa.select(table).where(table.c.key == key).order_by(table.c.number.desc())
            ).first()
            if found is not None and not new:
                return Campaign(found.id, found.label, space, seed, launches, conditions)
            number, label = _next_label(connection, name)
            made = connection.execute(
                table.insert().values(
                    key=key,
                    label=label,
                    name=name,
                    number=number,
                    space=space,
                    seed=seed,
                    launches=launches,
                    conditions_id=_conditions_id(connection, conditions),
                )
            ).inserted_primary_key
            assert made is not None
            return Campaign(made[0], label, space, seed, launches, conditions)

    def append_session(
        self, campaign: Campaign, *, started_at: float, within: float | None
    ) -> None:
        """Note that a campaign begins or goes on, and with which precision asked for."""
        self._write(
            schema.sessions.insert().values(
                campaign_id=campaign.id, started_at=started_at, within=within
            )
        )

    def append_block(self, campaign: Campaign, record: BlockRecord) -> None:
        """Commit one block.

        Raises:
            RunError: The disk is full, or the block is there already.
        """
        self._write(
            schema.blocks.insert().values(
                campaign_id=campaign.id,
                architecture=str(record.architecture),
                launch=record.launch,
                block=record.block,
                readings=block_to_text(record.readings),
                sentinel_before=_optional(block_to_text, record.sentinel_before),
                sentinel_after=_optional(block_to_text, record.sentinel_after),
                artefact_sha256=record.artefact_sha256,
                state=_pack(dict(record.state)),
            )
        )

    def append_failure(self, campaign: Campaign, failure: Failure) -> None:
        """Commit one failure."""
        architecture = failure.architecture
        self._write(
            schema.failures.insert().values(
                campaign_id=campaign.id,
                architecture=None if architecture is None else str(architecture),
                cause=failure.cause,
                detail=failure.detail,
                at=failure.at,
            )
        )

    # ---------------------------------------------------------------- inside

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with schema.translated(self.location), self.engine.connect() as connection:
            return connection.execute(query).all()

    def _write(self, statement: sa.Insert) -> None:
        with schema.translated(self.location), self.engine.begin() as connection:
            connection.execute(statement)

    def _select(
        self, conditions: Conditions | None, label: str | None, space: str | None
    ) -> list[Campaign]:
        return [
            campaign
            for campaign in self.campaigns()
            if (conditions is None or campaign.conditions == conditions)
            and (label is None or campaign.label == label)
            and (space is None or campaign.space == space)
        ]

    def _measurements(self, campaign: Campaign) -> list[Measurement]:
        records = self.blocks(campaign)
        table = schema.sessions
        query = (
            sa.select(table.c.within).where(table.c.campaign_id == campaign.id).order_by(table.c.id)
        )
        asked = [row.within for row in self._read(query)]
        looked = any(within is not None for within in asked)
        reference = sentinel_reference(records, threads=campaign.conditions.settings.threads)
        grouped: dict[Architecture, list[BlockRecord]] = {}
        for record in records:
            grouped.setdefault(record.architecture, []).append(record)
        return [
            Measurement(
                architecture=architecture,
                conditions=campaign.conditions,
                campaign=campaign.label,
                blocks=tuple(found),
                sentinel_reference=reference,
                within=asked[-1] if asked else None,
                look=campaign.look(len({record.launch for record in found})) if looked else 0,
            )
            for architecture, found in grouped.items()
        ]


def _next_label(connection: sa.Connection, name: str) -> tuple[int, str]:
    """The next number of a name, and the label that it makes."""
    table = schema.campaigns
    query = sa.select(sa.func.max(table.c.number)).where(table.c.name == name)
    number = (connection.execute(query).scalar() or 0) + 1
    while True:
        label = name if number == 1 else f"{name}-{number}"
        # someone may have chosen that very text as a name
        if connection.execute(sa.select(table.c.id).where(table.c.label == label)).first() is None:
            return number, label
        number += 1


def _conditions_id(connection: sa.Connection, conditions: Conditions) -> int:
    table = schema.conditions
    query = sa.select(table.c.id).where(table.c.key == conditions.key)
    known = connection.execute(query).scalar()
    if known is not None:
        return int(known)
    row = {"key": conditions.key, "document": _pack(conditions.to_json())}
    made = connection.execute(table.insert().values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])


def _campaign(row: sa.Row[Any]) -> Campaign:
    conditions = Conditions.from_json(json.loads(row.document))
    return Campaign(row.id, row.label, row.space, row.seed, row.launches, conditions)


def _record(row: sa.Row[Any]) -> BlockRecord:
    return BlockRecord(
        architecture=Architecture.parse(row.architecture),
        launch=row.launch,
        block=row.block,
        readings=block_from_text(row.readings),
        sentinel_before=_optional(block_from_text, row.sentinel_before),
        sentinel_after=_optional(block_from_text, row.sentinel_after),
        artefact_sha256=row.artefact_sha256,
        state=json.loads(row.state),
    )


def _pack(fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _optional(convert: Callable[[_From], _To], value: _From | None) -> _To | None:
    return None if value is None else convert(value)
