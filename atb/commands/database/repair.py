"""`atb database repair`: rows that cannot be read, out of a database."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

from typer import Option

from atb.commands.arguments import DEFAULT_DATABASE, Database, Json
from atb.commands.output import Table, print_result


def repair(
    db: Database = DEFAULT_DATABASE,
    out: Annotated[
        Path | None,
        Option(
            metavar="FILE.json",
            help="Keep the rows that are taken out in this file; by default in "
            "NAME.rows-taken-out.json beside the database NAME.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Take rows that cannot be read out of a database, and keep them in a file.

    Example:
        atb database repair --db atb-runs/profile.db
    """
    from atb.files import prepare_output
    from atb.profiler.database import ProfileDatabase, ProfileReader
    from atb.profiler.maintenance import repair as take_out

    with ProfileReader(db) as database:  # nothing is made here
        path = database.handle.path
    beside = Path("profile.db") if path is None else path
    kept = _free(out or beside.with_name(f"{beside.name}.rows-taken-out.json"))
    prepare_output(kept)
    with ProfileDatabase(db, create=True) as database:
        taken = take_out(database, kept)
        location = database.location
    document = {
        "database": location,
        "out": str(kept) if taken else None,
        "rows": [row.to_json() for row in taken],
    }
    if not taken:
        print_result(document, f"{location}: every row can be read", json=json)
        return
    rows = [(row.table, str(row.id), row.reason) for row in taken]
    print_result(
        document,
        Table(("table", "row", "why it cannot be read"), rows, left=(0, 2)),
        json=json,
        status=[f"taken out of {location}: {len(taken):,} rows, which are kept in {kept}"],
    )


def _free(path: Path) -> Path:
    """This path, numbered where there is a file already, so that no kept row is lost."""
    names = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(2))
    return path if not path.exists() else next(name for name in names if not name.exists())
