"""`atb database merge`: several databases into one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from atb.commands.arguments import DEFAULT_DATABASE, Json
from atb.commands.database.added import MadeDatabase, print_added
from atb.commands.output import progress

if TYPE_CHECKING:
    from atb.profiler.maintenance import Added


def merge(
    sources: Annotated[
        list[str], Argument(metavar="FILE|URL...", help="The databases to read; none is changed.")
    ],
    db: MadeDatabase = DEFAULT_DATABASE,
    json: Json = False,
) -> None:
    """Add the campaigns of other databases to one; the same command twice adds nothing.

    Example:
        atb database merge board.db laptop.db --db all.db
    """
    from atb.profiler.database import ProfileDatabase, ProfileReader
    from atb.profiler.maintenance import merge as merge_into

    total = 0
    for source in sources:  # all of them, before anything is made
        with ProfileReader(source) as database:
            total += len(database.campaigns())
    with ProfileDatabase(db, create=True) as target, progress("merge") as show:
        done: list[tuple[str, Added]] = []

        def show_added(source: str, added: Added) -> None:
            done.append((source, added))
            show(len(done), total, added.campaign)

        merge_into(sources, target, show_added)
        location = target.location
    print_added(location, done, json)
