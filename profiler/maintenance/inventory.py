"""What a profile database holds and how much room it takes, counted by the database itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from atb.profiler import Campaign
from atb.profiler.database import ProfileReader, schema, snapshot


@dataclass(frozen=True, slots=True)
class CampaignInventory:
    """What a campaign holds.

    Attributes:
        campaign: The campaign.
        architectures: Subjects with at least one block.
        launches: Launches of them with at least one block.
        blocks: Blocks.
        loads: Loads.
        failures: Failures.
        text_bytes: Size of its readings and states, nearly all of what it takes.
    """

    campaign: Campaign
    architectures: int
    launches: int
    blocks: int
    loads: int
    failures: int
    text_bytes: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        known = self.campaign
        counts = {name: value for name, value in asdict(self).items() if name != "campaign"}
        return {
            "campaign": known.label,
            "uuid": known.uuid,
            "space": known.space,
            "conditions": known.conditions.to_json(),
            **counts,
        }


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a database holds.

    Attributes:
        location: What it is called.
        format: The format that lies there.
        size_bytes: On the disk.
        conditions: How many.
        campaigns: The oldest first.
    """

    location: str
    format: int
    size_bytes: int
    conditions: int
    campaigns: tuple[CampaignInventory, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "database": self.location,
            "database_format": self.format,
            "size_bytes": self.size_bytes,
            "conditions": self.conditions,
            "campaigns": [campaign.to_json() for campaign in self.campaigns],
        }


def take_inventory(database: ProfileReader) -> Inventory:
    """Count what a database holds."""
    campaigns = database.campaigns()
    with snapshot(database.engine, database.location) as connection:
        return Inventory(
            database.location,
            database.handle.format,
            _size_bytes(database, connection),
            connection.execute(sa.select(sa.func.count()).select_from(schema.conditions)).scalar()
            or 0,
            tuple(_count(connection, campaign) for campaign in campaigns),
        )


def _count(connection: sa.Connection, campaign: Campaign) -> CampaignInventory:
    table = schema.blocks
    texts = (table.c.readings, table.c.sentinel_before, table.c.sentinel_after, table.c.state)
    length = sum(sa.func.coalesce(sa.func.length(text), 0) for text in texts)
    by_launch = (
        sa.select(
            table.c.architecture,
            sa.func.count().label("blocks"),
            sa.func.sum(length).label("size"),
        )
        .where(table.c.campaign_id == campaign.id)
        .group_by(table.c.architecture, table.c.launch)
    )
    launches = connection.execute(by_launch).all()
    return CampaignInventory(
        campaign,
        architectures=len({row.architecture for row in launches}),
        launches=len(launches),
        blocks=sum(row.blocks for row in launches),
        loads=_rows_of(connection, schema.loads, campaign),
        failures=_rows_of(connection, schema.failures, campaign),
        text_bytes=sum(int(row.size) for row in launches),
    )


def _rows_of(connection: sa.Connection, table: sa.Table, campaign: Campaign) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(table.c.campaign_id == campaign.id)
    return connection.execute(query).scalar() or 0


def _size_bytes(database: ProfileReader, connection: sa.Connection) -> int:
    path = database.handle.path
    if path is not None:
        return path.stat().st_size
    query = sa.text(
        "SELECT sum(pg_total_relation_size(CAST(name AS regclass))) "
        "FROM unnest(CAST(:names AS text[])) AS name"
    )
    return int(connection.execute(query, {"names": list(schema.metadata.tables)}).scalar() or 0)
