"""Whole campaigns as raw rows, and adding what another database lacks of them.

Append-only and idempotent: a campaign is known by its uuid, a block by its place in it; sessions,
loads and failures have no place, so there are as many of each as the fuller side has. What is
there already stays, also where the other side differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from atb.errors import BadFile
from atb.profiler.database import (
    BadRow,
    ProfileDatabase,
    ProfileReader,
    check_rows,
    enter_campaign,
    enter_conditions,
    exclusive_transaction,
    find_campaign,
    schema,
    snapshot,
)

Values = Mapping[str, Any]

#: The tables whose rows belong to a campaign, in the order in which they are written.
PARTS = {
    "sessions": schema.sessions,
    "blocks": schema.blocks,
    "loads": schema.loads,
    "failures": schema.failures,
}
_PLACE = ("architecture", "launch", "block")
#: What is the same wherever a campaign lies; its label may be numbered otherwise.
_SAME = ("conditions_key", "key", "space", "seed", "launches", "sentinel")
_OWN = ("id", "campaign_id", "conditions_id")  # numbers that mean something in one database only


@dataclass(frozen=True, slots=True)
class CampaignRows:
    """A campaign with all that belongs to it, as values by column, each row of it readable.

    Attributes:
        campaign: Columns of `atb_campaigns` but the numbers of this database.
        conditions: The columns `key` and `document` of `atb_conditions`.
        parts: Rows by name of `PARTS`, in the order in which they were written.

    Raises:
        BadRow: A row cannot be decoded.
    """

    campaign: Values
    conditions: Values
    parts: Mapping[str, Sequence[Values]]

    def __post_init__(self) -> None:
        check_rows(self.campaign, self.conditions, self.parts)


@dataclass(frozen=True, slots=True)
class Added:
    """What a campaign brought.

    Attributes:
        campaign: Its label in the target.
        uuid: Its name everywhere.
        new: Whether the target did not know it.
        rows: Rows added by name of `PARTS`.
        differing: Blocks that the target has with other readings; its own stay.
    """

    campaign: str
    uuid: str
    new: bool
    rows: Mapping[str, int]
    differing: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "campaign": self.campaign,
            "uuid": self.uuid,
            "new": self.new,
            **self.rows,
            "differing_blocks": self.differing,
        }


def read_campaigns(
    database: ProfileReader, labels: Sequence[str] | None = None
) -> Iterator[CampaignRows]:
    """Campaigns with all that belongs to them, the oldest first, each as it is at one moment.

    Args:
        database: Where from.
        labels: Of which; None for all.

    Raises:
        BadFile: A row cannot be decoded.
    """
    table = schema.campaigns
    for campaign in database.campaigns():
        if labels is not None and campaign.label not in labels:
            continue
        with snapshot(database.engine, database.location) as connection:
            row = _rows(connection, table, table.c.id == campaign.id)[0]
            place = schema.conditions.c.id == row["conditions_id"]
            (conditions,) = _rows(connection, schema.conditions, place)
            parts = {
                name: _rows(connection, part, part.c.campaign_id == campaign.id)
                for name, part in PARTS.items()
            }
        try:
            found = CampaignRows(
                _portable(row),
                _portable(conditions),
                {n: _all_portable(r) for n, r in parts.items()},
            )
        except BadRow as error:
            raise BadFile(
                f"{database.location} has a row that cannot be read ({error}): take such rows out "
                f"with `atb database repair --db {database.location}`, which keeps them in a file."
            ) from error
        yield found


def _rows(
    connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]
) -> list[dict[str, Any]]:
    query = sa.select(table).where(where).order_by(table.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def _portable(row: Values) -> Values:
    return {name: value for name, value in row.items() if name not in _OWN}


def _all_portable(rows: Iterable[Values]) -> list[Values]:
    return [_portable(row) for row in rows]


def add_campaigns(
    target: ProfileDatabase,
    campaigns: Iterable[CampaignRows],
    told: Callable[[Added], None] = lambda added: None,
) -> list[Added]:
    """Add what is missing of campaigns, all of them or, where one fails, none.

    Args:
        target: Opened with `create=True`.
        campaigns: Which; all of them are read before anything is written.
        told: Called when one is written; they are committed together.

    Raises:
        BadFile: A row of one cannot be read.
        RunError: Another process measures one of them in the target.
    """
    wanted = list(campaigns)
    names = {campaign.campaign["uuid"] for campaign in wanted}
    with ExitStack() as held:
        # nobody may measure what is added to; what is new is unknown to everybody else
        for known in target.campaigns():
            if known.uuid in names:
                held.enter_context(target.campaign_lock(known))
        with exclusive_transaction(target.engine, target.location) as connection:
            found = []
            for campaign in wanted:
                found.append(_add(connection, campaign))
                told(found[-1])
    return found


def _add(connection: sa.Connection, campaign: CampaignRows) -> Added:
    """Add what is missing of one campaign."""
    known = find_campaign(connection, "uuid", campaign.campaign["uuid"])
    if known is None:
        values = dict(campaign.campaign)
        number, label = values.pop("number"), values.pop("label")
        values["conditions_id"] = enter_conditions(
            connection, campaign.conditions["key"], campaign.conditions["document"]
        )
        enter_campaign(connection, values, number=number, label=label)
    entered = find_campaign(connection, "uuid", campaign.campaign["uuid"])
    assert entered is not None
    _check_same(campaign, entered)
    added, differing = {}, 0
    for name, table in PARTS.items():
        there = _all_portable(_rows(connection, table, table.c.campaign_id == entered.id))
        if name == "blocks":
            missing, differing = _missing_blocks(campaign.parts[name], there)
        else:
            missing = _missing(campaign.parts[name], there)
        if missing:
            rows = [{**row, "campaign_id": entered.id} for row in missing]
            connection.execute(table.insert(), rows)
        added[name] = len(missing)
    return Added(entered.label, campaign.campaign["uuid"], known is None, added, differing)


def _check_same(campaign: CampaignRows, there: sa.Row[Any]) -> None:
    """Refuse rows that were measured otherwise than the campaign of this uuid in the target.

    Raises:
        BadFile: They would count as measured under its conditions.
    """
    theirs = {**campaign.campaign, "conditions_key": campaign.conditions["key"]}
    differing = [name for name in _SAME if theirs[name] != getattr(there, name)]
    if differing:
        raise BadFile(
            f"The campaign {theirs['label']} has the uuid of {there.label} and another "
            f"{' and '.join(differing)}: one of the two was changed by hand; take a database that "
            "`atb profile` wrote."
        )


def _missing_blocks(wanted: Sequence[Values], there: Sequence[Values]) -> tuple[list[Values], int]:
    known = {tuple(row[name] for name in _PLACE): row for row in there}
    missing, differing = [], 0
    for row in wanted:
        mine = known.get(tuple(row[name] for name in _PLACE))
        if mine is None:
            missing.append(row)
        else:
            differing += dict(mine) != dict(row)
    return missing, differing


def _missing(wanted: Sequence[Values], there: Sequence[Values]) -> list[Values]:
    """What the target has fewer of."""
    known = Counter(tuple(sorted(row.items())) for row in there)
    missing = []
    for row in wanted:
        content = tuple(sorted(row.items()))
        if known[content]:
            known[content] -= 1
        else:
            missing.append(row)
    return missing


def merge(
    sources: Iterable[str],
    target: ProfileDatabase,
    told: Callable[[str, Added], None] = lambda source, added: None,
) -> list[tuple[str, Added]]:
    """Add the campaigns of other databases to one, all of them or, where one fails, none.

    Args:
        sources: Files or URLs; an older format is read as well. Each is only read.
        target: Opened with `create=True`.
        told: Called with source and what a campaign brought, when it is written.

    Returns:
        Source and what it brought, by campaign.

    Raises:
        BadFile: A source is no profile database, or has a row that cannot be read.
    """
    campaigns: list[CampaignRows] = []
    names: list[str] = []
    for source in sources:
        with ProfileReader(source) as reader:
            campaigns += read_campaigns(reader)
            names += [reader.location] * (len(campaigns) - len(names))
    remaining = iter(names)
    found = add_campaigns(target, campaigns, lambda added: told(next(remaining), added))
    return list(zip(names, found, strict=True))
