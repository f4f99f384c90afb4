"""What `atb database import` and `merge` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from typer import Option

from atb.commands.output import Table, print_result

if TYPE_CHECKING:
    from atb.profiler.maintenance import Added

MadeDatabase = Annotated[
    str,
    Option(
        "--db",
        metavar="FILE|URL",
        help="Add to this profile database, which is made if it is missing.",
    ),
]


def print_added(location: str, done: Sequence[tuple[str, Added]], json: bool) -> None:
    """Print which campaigns came into a database.

    Args:
        location: File or URL of the database.
        done: Sources and what was added of each.
        json: Whether to print one document.
    """
    rows = [
        (
            added.campaign,
            "new" if added.new else "known",
            *(f"{added.rows[name]:,}" for name in ("blocks", "loads", "failures")),
            source,
        )
        for source, added in done
    ]
    print_result(
        {
            "database": location,
            "campaigns": [{"source": source, **added.to_json()} for source, added in done],
        },
        Table(("campaign", "", "blocks", "loads", "failures", "source"), rows, left=(0, 1, 5)),
        json=json,
        status=[
            f"{added.campaign}: {added.differing} blocks of {source} differ from those that "
            f"{location} has, which stay"
            for source, added in done
            if added.differing
        ],
    )
