"""The profile database: every block and every failure, append-only, one transaction a block."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from atb.models.architecture import Architecture
from atb.profiler import schema
from atb.profiler.conditions import Conditions
from atb.profiler.measurement import Measurement, together
from atb.profiler.record import BlockRecord, Campaign, Failure
from atb.profiler.rows import (
    block_to_row,
    failure_to_row,
    pack,
    row_to_block,
    row_to_campaign,
    row_to_failure,
    row_to_sentinels,
)
from atb.profiler.scenarios import estimator_for
from atb.profiler.sentinel import (
    MOST_LEVEL_BLOCKS,
    mean_seconds,
    sentinel_level,
    slowdowns,
)
from atb.profiler.subject import ModelFile, Subject

__all__ = ["Campaign", "ProfileDatabase"]


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
        return [row_to_campaign(row) for row in self._read(query)]

    def blocks(self, campaign: Campaign) -> list[BlockRecord]:
        """All blocks of a campaign, ordered by architecture, launch and block."""
        table = schema.blocks
        query = (
            sa.select(table)
            .where(table.c.campaign_id == campaign.id)
            .order_by(table.c.architecture, table.c.launch, table.c.block)
        )
        return [row_to_block(row) for row in self._read(query)]

    def measurements(
        self,
        conditions: Conditions | None = None,
        campaign: str | None = None,
        space: str | None = None,
        *,
        models: bool = False,
    ) -> list[Measurement]:
        """One measurement for each architecture of each campaign.

        Args:
            conditions: Only those under these; None leaves a filter open.
            campaign: Only those of the campaign of this label.
            space: Only those that were sampled in this space.
            models: Whether users' own models are among them, which have no architecture.
        """
        levels: dict[tuple[Conditions, Architecture], float | None] = {}
        found: list[Measurement] = []
        for known in self._select(conditions, campaign, space):
            place = known.conditions, known.sentinel
            if place not in levels:
                levels[place] = self.sentinel_level(*place)
            found += self._measurements(known, levels[place])
        return [m for m in found if models or not isinstance(m.subject, ModelFile)]

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
            found += [row_to_failure(known, row) for row in self._read(query)]
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
        sentinel: Architecture,
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
            sentinel: Timed next to every block.
            identity: What else makes a command another one: JSON-able values.
            new: Make one even if there is one.
        """
        content = [name, space, seed, conditions.key, launches, str(sentinel), *identity]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        table = schema.campaigns
        with schema.translated(self.location), self.engine.begin() as connection:
            found = connection.execute(
                sa.select(table).where(table.c.key == key).order_by(table.c.number.desc())
            ).first()
            if found is not None and not new:
                return Campaign(found.id, found.label, space, seed, launches, sentinel, conditions)
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
                    sentinel=str(sentinel),
                    conditions_id=_conditions_id(connection, conditions),
                )
            ).inserted_primary_key
            assert made is not None
            return Campaign(made[0], label, space, seed, launches, sentinel, conditions)

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
        self._write(schema.blocks.insert().values(block_to_row(campaign, record)))

    def append_failure(self, campaign: Campaign, failure: Failure) -> None:
        """Commit one failure."""
        self._write(schema.failures.insert().values(failure_to_row(campaign, failure)))

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

    def sentinel_level(
        self, conditions: Conditions, sentinel: Architecture, *, before: Campaign | None = None
    ) -> float | None:
        """The sentinel's undisturbed level under these conditions, in seconds.

        One level for all campaigns: were it taken from each alone, a campaign on a slow day would
        be corrected to that day's level, and two days could not agree.

        Args:
            conditions: Under which.
            sentinel: Of which architecture.
            before: Only campaigns that were begun before this one.
        """
        table, known = schema.blocks, schema.campaigns
        query = (
            sa.select(table.c.sentinel_before, table.c.sentinel_after)
            .join(known, table.c.campaign_id == known.c.id)
            .join(schema.conditions, known.c.conditions_id == schema.conditions.c.id)
            .where(schema.conditions.c.key == conditions.key, known.c.sentinel == str(sentinel))
            .order_by(table.c.id)
            .limit(MOST_LEVEL_BLOCKS)
        )
        if before is not None:
            query = query.where(known.c.id < before.id)
        threads = conditions.settings.threads
        return sentinel_level(
            mean_seconds(*row_to_sentinels(row), threads=threads) for row in self._read(query)
        )

    def _measurements(self, campaign: Campaign, reference: float | None) -> list[Measurement]:
        records = self.blocks(campaign)
        table = schema.sessions
        query = (
            sa.select(table.c.within).where(table.c.campaign_id == campaign.id).order_by(table.c.id)
        )
        asked = [row.within for row in self._read(query)]
        threads = campaign.conditions.settings.threads
        slower = slowdowns(records, threads=threads, level=reference)
        grouped: dict[Subject, list[tuple[BlockRecord, float]]] = {}
        for record, slowdown in zip(records, slower, strict=True):
            grouped.setdefault(record.subject, []).append((record, slowdown))
        found = [
            Measurement(
                subject=subject,
                conditions=campaign.conditions,
                campaign=campaign.label,
                blocks=tuple(record for record, _ in own),
                sentinel_reference=reference,
                within=asked[-1] if asked else None,
                sequential=any(within is not None for within in asked),
                method=estimator_for(campaign.conditions.settings.scenario),
                slowdowns={(record.launch, record.block): slower for record, slower in own},
            )
            for subject, own in grouped.items()
        ]
        return together(found)


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
    row = {"key": conditions.key, "document": pack(conditions.to_json())}
    made = connection.execute(table.insert().values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])
