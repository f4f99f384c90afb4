"""The profile database as it is read: conditions, campaigns and raw records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from atb.devices import Block
from atb.models import Architecture
from atb.profiler import BlockRecord, Campaign, Conditions, Failure, LoadRecord
from atb.profiler.database import schema
from atb.profiler.database.engine import open_database, translate_errors
from atb.profiler.database.rows import (
    decode_rows,
    row_to_block,
    row_to_campaign,
    row_to_conditions,
    row_to_failure,
    row_to_load,
    row_to_sentinels,
    row_to_within,
)

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

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.engine.dispose()

    def conditions(self) -> list[Conditions]:
        """All conditions under which something was measured or failed."""
        table = schema.conditions
        query = sa.select(table, table.c.key.label("conditions_key")).order_by(table.c.id)
        return self._decoded(row_to_conditions, query, "conditions")

    def campaigns(
        self,
        conditions: Conditions | None = None,
        label: str | None = None,
        space: str | None = None,
    ) -> list[Campaign]:
        """Campaigns, the oldest first; None leaves a filter open."""
        table, known = schema.campaigns, schema.conditions
        query = (
            sa.select(table, known.c.document, known.c.key.label("conditions_key"))
            .join(known, table.c.conditions_id == known.c.id)
            .order_by(table.c.id)
        )
        return [
            campaign
            for campaign in self._decoded(row_to_campaign, query, "campaigns")
            if (conditions is None or campaign.conditions == conditions)
            and (label is None or campaign.label == label)
            and (space is None or campaign.space == space)
        ]

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

    def precisions_asked(self, campaign: Campaign) -> list[float | None]:
        """Half widths that a campaign asked for when it was begun or resumed, the oldest first.

        Returns:
            Shares of the latency; None where no precision was asked for.
        """
        table = schema.sessions
        query = sa.select(table).where(table.c.campaign_id == campaign.id).order_by(table.c.id)
        return self._decoded(row_to_within, query, "sessions")

    def failures(
        self,
        conditions: Conditions | None = None,
        campaign: str | None = None,
        space: str | None = None,
    ) -> list[Failure]:
        """All failures, the oldest first; None leaves a filter open."""
        found = []
        for known in self.campaigns(conditions, campaign, space):
            table = schema.failures
            query = sa.select(table).where(table.c.campaign_id == known.id).order_by(table.c.id)
            found += self._decoded(partial(row_to_failure, known), query, "failures")
        return found

    def sentinel_blocks(
        self,
        conditions: Conditions,
        sentinel: Architecture,
        *,
        most: int,
        before: int | None = None,
    ) -> list[tuple[Block | None, Block | None]]:
        """The sentinel's blocks before and after the first blocks under these conditions.

        In the order of the device's clock, not of arrival, so that a merged or imported database
        says the same.

        Args:
            conditions: Under which.
            sentinel: The architecture.
            most: How many blocks are read.
            before: Only campaigns that came into the database before the one of this id.
        """
        table = schema.blocks
        query = _first_blocks(
            (table.c.id, table.c.sentinel_before, table.c.sentinel_after),
            conditions,
            before,
            most,
        ).where(schema.campaigns.c.sentinel == str(sentinel))
        return self._decoded(row_to_sentinels, query, "blocks")

    def cache_sentinel_blocks(
        self, conditions: Conditions, *, most: int, before: int | None = None
    ) -> list[BlockRecord]:
        """The first blocks under these conditions beside which the second sentinel was timed.

        See `sentinel_blocks`.
        """
        table = schema.blocks
        query = _first_blocks((table,), conditions, before, most)
        return self._decoded(
            row_to_block, query.where(table.c.cache_sentinel.is_not(None)), "blocks"
        )

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with translate_errors(self.location), self.engine.connect() as connection:
            return connection.execute(query).all()

    def _decoded(self, decode: Callable[[Any], _T], query: sa.Select[Any], table: str) -> list[_T]:
        """What the rows of a query say; see `decode_rows` for those that say nothing."""
        return decode_rows(decode, self._read(query), table, self.location)


def _first_blocks(
    columns: Sequence[Any], conditions: Conditions, before: int | None, most: int
) -> sa.Select[Any]:
    """Query the first blocks under conditions, by the device's clock."""
    table, known = schema.blocks, schema.campaigns
    query = (
        sa.select(*columns)
        .join(known, table.c.campaign_id == known.c.id)
        .join(schema.conditions, known.c.conditions_id == schema.conditions.c.id)
        .where(schema.conditions.c.key == conditions.key)
        .order_by(table.c.started_at, table.c.campaign_id, table.c.id)
        .limit(most)
    )
    return query if before is None else query.where(known.c.id < before)
