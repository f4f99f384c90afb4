"""The profile database as it is read: conditions, campaigns, raw records, and measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from atb.models import Architecture
from atb.profiler import BlockRecord, Campaign, Conditions, Failure, LoadRecord, ModelFile, Subject
from atb.profiler.database import schema
from atb.profiler.database.engine import open_database
from atb.profiler.database.errors import translate_errors
from atb.profiler.database.row_checks import decode_rows
from atb.profiler.database.rows import (
    row_to_block,
    row_to_campaign,
    row_to_conditions,
    row_to_failure,
    row_to_load,
    row_to_sentinels,
    row_to_within,
)
from atb.profiler.statistics import (
    LEVEL_READINGS,
    MOST_LEVEL_BLOCKS,
    CacheContention,
    Measurement,
    cache_level,
    cache_log_slowdowns,
    cache_ratio,
    cache_share,
    estimator_for,
    mean_seconds,
    sentinel_level,
    slowdowns,
    with_pooled_variance,
)

__all__ = ["ProfileReader"]

_T = TypeVar("_T")


class ProfileReader:
    """What a profile database tells; see `ProfileDatabase`, which writes too."""

    def __init__(self, location: str | Path, *, create: bool = False) -> None:
        self.handle = open_database(str(location), create=create)

    @property
    def location(self) -> str:
        """What to call it: the path, or the URL without its password."""
        return self.handle.location

    @property
    def engine(self) -> sa.Engine:
        """Its connection."""
        return self.handle.engine

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

    def conditions(self) -> list[Conditions]:
        """All conditions under which something was measured or failed."""
        table = schema.conditions
        query = sa.select(table, table.c.key.label("conditions_key")).order_by(table.c.id)
        return self._decoded(row_to_conditions, query, "conditions")

    def campaigns(self) -> list[Campaign]:
        """All campaigns, the oldest first."""
        table, known = schema.campaigns, schema.conditions
        query = (
            sa.select(table, known.c.document, known.c.key.label("conditions_key"))
            .join(known, table.c.conditions_id == known.c.id)
            .order_by(table.c.id)
        )
        return self._decoded(row_to_campaign, query, "campaigns")

    def blocks(self, campaign: Campaign) -> list[BlockRecord]:
        """All blocks of a campaign, ordered by architecture, launch and block."""
        table = schema.blocks
        query = sa.select(table).where(table.c.campaign_id == campaign.id)
        found = self._decoded(row_to_block, query, "blocks")
        # sorted here, since servers sort text by their own rules
        return sorted(found, key=lambda record: (str(record.subject), record.launch, record.block))

    def loads(self, campaign: Campaign) -> list[LoadRecord]:
        """All loads of a campaign, the oldest first."""
        table = schema.loads
        query = sa.select(table).where(table.c.campaign_id == campaign.id).order_by(table.c.id)
        return self._decoded(row_to_load, query, "loads")

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
        levels: dict[tuple[Conditions, Architecture], tuple[float | None, float | None]] = {}
        found: list[Measurement] = []
        for known in self._select(conditions, campaign, space):
            place = known.conditions, known.sentinel
            if place not in levels:
                levels[place] = self.sentinel_level(*place), self.cache_level(known.conditions)
            found += self._measurements(known, *levels[place])
        return [m for m in found if models or not isinstance(m.subject, ModelFile)]

    def measurements_as_of(self, campaign: Campaign) -> list[Measurement]:
        """What a campaign found, by the levels that were known when it was the newest.

        What is measured afterwards may move those levels, and with them what `measurements` says by
        a percent or more; decisions that rest on a campaign shall be the same when they are made
        again. Users' own models are among them.

        Args:
            campaign: Which.
        """
        place, later = (campaign.conditions, campaign.sentinel), campaign.id + 1
        return self._measurements(
            campaign,
            self.sentinel_level(*place, before=later),
            self.cache_level(campaign.conditions, before=later),
        )

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
            found += self._decoded(partial(row_to_failure, known), query, "failures")
        return found

    def sentinel_level(
        self, conditions: Conditions, sentinel: Architecture, *, before: int | None = None
    ) -> float | None:
        """The sentinel's undisturbed level under these conditions, in seconds.

        One level for all campaigns: were it taken from each alone, a campaign on a slow day would
        be corrected to that day's level, and two days could not agree. From the first blocks by the
        device's clock, not by arrival, so that a merged or imported database says the same.

        Args:
            conditions: Under which.
            sentinel: Of which architecture.
            before: Only campaigns that came into the database before the one of this id.
        """
        table, known = schema.blocks, schema.campaigns
        query = (
            sa.select(table.c.id, table.c.sentinel_before, table.c.sentinel_after)
            .join(known, table.c.campaign_id == known.c.id)
            .join(schema.conditions, known.c.conditions_id == schema.conditions.c.id)
            .where(schema.conditions.c.key == conditions.key, known.c.sentinel == str(sentinel))
            .order_by(table.c.started_at, table.c.campaign_id, table.c.id)
            .limit(MOST_LEVEL_BLOCKS)
        )
        if before is not None:
            query = query.where(known.c.id < before)
        threads = conditions.settings.threads
        return sentinel_level(
            mean_seconds(*around, threads=threads)
            for around in self._decoded(row_to_sentinels, query, "blocks")
        )

    def cache_level(self, conditions: Conditions, *, before: int | None = None) -> float | None:
        """What the second sentinel returns to when no neighbour presses; see `cache_ratio`.

        Args:
            conditions: Under which.
            before: Only campaigns that came into the database before the one of this id.
        """
        table, known = schema.blocks, schema.campaigns
        query = (
            sa.select(table)
            .join(known, table.c.campaign_id == known.c.id)
            .join(schema.conditions, known.c.conditions_id == schema.conditions.c.id)
            .where(schema.conditions.c.key == conditions.key, table.c.cache_sentinel.is_not(None))
            .order_by(table.c.started_at, table.c.campaign_id, table.c.id)
            .limit(LEVEL_READINGS)
        )
        if before is not None:
            query = query.where(known.c.id < before)
        threads = conditions.settings.threads
        return cache_level(
            cache_ratio(record, threads=threads)
            for record in self._decoded(row_to_block, query, "blocks")
        )

    # ---------------------------------------------------------------- inside

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with translate_errors(self.location), self.engine.connect() as connection:
            return connection.execute(query).all()

    def _decoded(self, decode: Callable[[Any], _T], query: sa.Select[Any], table: str) -> list[_T]:
        """What the rows of a query say; see `decode_rows` for those that say nothing."""
        return decode_rows(decode, self._read(query), table, self.location)

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

    def _measurements(
        self, campaign: Campaign, reference: float | None, cache: float | None
    ) -> list[Measurement]:
        records = self.blocks(campaign)
        table = schema.sessions
        query = sa.select(table).where(table.c.campaign_id == campaign.id).order_by(table.c.id)
        asked = self._decoded(row_to_within, query, "sessions")
        threads = campaign.conditions.settings.threads
        slower = slowdowns(records, threads=threads, level=reference)
        pressed = cache_log_slowdowns(records, threads=threads, level=cache)
        grouped: dict[Subject, list[tuple[BlockRecord, float, float]]] = {}
        for record, slowdown, pressure in zip(records, slower, pressed, strict=True):
            grouped.setdefault(record.subject, []).append((record, slowdown, pressure))
        method = estimator_for(campaign.conditions, records)
        loads: dict[Subject, tuple[LoadRecord, ...]] = {}
        for load in self.loads(campaign):
            loads[load.subject] = (*loads.get(load.subject, ()), load)
        found = [
            Measurement(
                subject=subject,
                conditions=campaign.conditions,
                campaign=campaign.label,
                blocks=tuple(record for record, *_ in own),
                sentinel_reference=reference,
                within=asked[-1] if asked else None,
                sequential=any(within is not None for within in asked),
                method=method,
                slowdowns={(record.launch, record.block): slower for record, slower, _ in own},
                cache=CacheContention(
                    cache_share(subject, campaign.conditions.settings.precision),
                    {(record.launch, record.block): pressure for record, _, pressure in own},
                ),
                loads=loads.get(subject, ()),
            )
            for subject, own in grouped.items()
        ]
        return with_pooled_variance(found)
