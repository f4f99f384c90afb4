"""`atb database info`: what a database holds."""

from __future__ import annotations

from atb.commands.arguments import DEFAULT_DATABASE, Database, Json
from atb.commands.output import Table, print_result

_BYTES_OF_A_MEGABYTE = 1e6


def info(db: Database = DEFAULT_DATABASE, json: Json = False) -> None:
    """Show the format of a database, its campaigns, counts and sizes.

    Example:
        atb database info --db atb-runs/profile.db
    """
    from atb.profiler.database import ProfileReader
    from atb.profiler.maintenance import take_inventory

    with ProfileReader(db) as database:
        found = take_inventory(database)
    rows = [
        (
            c.campaign.label,
            c.campaign.space or "-",
            *(f"{n:,}" for n in (c.architectures, c.blocks, c.loads, c.failures)),
            f"{c.text_bytes / _BYTES_OF_A_MEGABYTE:.2f}",
            str(c.campaign.conditions),
        )
        for c in found.campaigns
    ]
    header = ("campaign", "space", "architectures", "blocks", "loads", "failures", "MB")
    print_result(
        found.to_json(),
        f"{found.location}: format {found.format}, {len(found.campaigns)} campaigns under "
        f"{found.conditions} conditions, {found.size_bytes / _BYTES_OF_A_MEGABYTE:.2f} MB",
        Table((*header, "conditions"), rows, left=(0, 1, 7)),
        json=json,
    )
