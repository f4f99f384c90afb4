"""`atb database import`: raw rows of an export into a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from atb.commands.arguments import DEFAULT_DATABASE, Json
from atb.commands.database.added import MadeDatabase, print_added
from atb.commands.output import progress

if TYPE_CHECKING:
    from atb.profiler.maintenance import Added


def import_file(
    file: Annotated[
        Path, Argument(metavar="FILE", help="A file that `atb database export --blocks` wrote.")
    ],
    db: MadeDatabase = DEFAULT_DATABASE,
    json: Json = False,
) -> None:
    """Add the raw rows of an export; rows that the database has stay, and none is doubled.

    Example:
        atb database import blocks.parquet --db all.db
    """
    from atb.profiler.database import ProfileDatabase
    from atb.profiler.maintenance import add_campaigns, read_raw

    campaigns = read_raw(file)
    with ProfileDatabase(db, create=True) as database, progress("import") as show:
        done: list[Added] = []

        def show_added(added: Added) -> None:
            done.append(added)
            show(len(done), len(campaigns), added.campaign)

        add_campaigns(database, campaigns, show_added)
        location = database.location
    print_added(location, [(str(file), added) for added in done], json)
