"""`atb database`: profile databases as tables, into one, and put right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from typer import Argument, Option

from atb.commands.arguments import DEFAULT_DATABASE, Database, Json, OneCampaign
from atb.commands.output import Table, print_result, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.profiler.database import ProfileReader
    from atb.profiler.maintenance import Added

_Part = TypeVar("_Part")
_BYTES_OF_A_MEGABYTE = 1e6
_MadeDatabase = Annotated[
    str,
    Option(
        "--db",
        metavar="FILE|URL",
        help="Add to this profile database, which is made if it is missing.",
    ),
]


def export(
    out: Annotated[
        Path, Option(metavar="FILE", help="Write the table to this file, .parquet or .csv.")
    ],
    db: Database = DEFAULT_DATABASE,
    campaign: OneCampaign = None,
    blocks: Annotated[
        bool,
        Option("--blocks", help="Write all raw rows, which `atb database import` reads again."),
    ] = False,
    json: Json = False,
) -> None:
    """Write measurements as a table with one row each, or with --blocks all raw rows.

    Example:
        atb database export --out measurements.csv
    """
    from atb.files import prepare_output
    from atb.profiler import read_measurements
    from atb.profiler.database import ProfileReader
    from atb.profiler.maintenance import (
        check_output,
        measurement_rows,
        raw_rows,
        read_campaigns,
        write_table,
    )

    check_output(out)
    with ProfileReader(db) as database:
        labels = _labels(database, campaign)
        prepare_output(out)
        with progress("export") as show:

            def shown(parts: Iterable[_Part]) -> Iterator[_Part]:
                for done, (part, label) in enumerate(zip(parts, labels, strict=True), start=1):
                    show(done, len(labels), label)
                    yield part

            if blocks:
                rows = raw_rows(shown(read_campaigns(database, labels)))
            else:
                read = (read_measurements(database, campaign=one, models=True) for one in labels)
                rows = [row for part in shown(read) for row in measurement_rows(part)]
        location = database.location
    if not rows:
        raise InputError(
            f"{location} holds no measurements to export: measure some with `atb profile`."
        )
    write_table(out, rows, raw=blocks)
    what = "raw rows" if blocks else "measurements"
    print_result(
        {"out": str(out), "rows": len(rows), "campaigns": labels, "raw": blocks},
        f"{out}: {len(rows):,} {what} of {len(labels)} campaigns",
        json=json,
    )


def _labels(database: ProfileReader, campaign: str | None) -> list[str]:
    """Labels of the campaigns to write."""
    known = [found.label for found in database.campaigns()]
    if campaign is None:
        return known
    if campaign not in known:
        raise InputError(
            f"{database.location} has no campaign {campaign!r}: "
            f"it has {', '.join(known) or 'none'}."
        )
    return [campaign]


def import_file(
    file: Annotated[
        Path, Argument(metavar="FILE", help="A file that `atb database export --blocks` wrote.")
    ],
    db: _MadeDatabase = DEFAULT_DATABASE,
    json: Json = False,
) -> None:
    """Add the raw rows of an export; rows that the database has stay, and none is doubled.

    Example:
        atb database import blocks.parquet --db all.db
    """
    from atb.profiler.database import ProfileDatabase
    from atb.profiler.maintenance import add_campaigns, read_raw

    campaigns = read_raw(file)
    done: list[tuple[str, Added]] = []
    with ProfileDatabase(db, create=True) as database, progress("import") as show:

        def show_added(added: Added) -> None:
            done.append((str(file), added))
            show(len(done), len(campaigns), added.campaign)

        add_campaigns(database, campaigns, show_added)
        location = database.location
    _print_added(location, done, json)


def merge(
    sources: Annotated[
        list[str], Argument(metavar="FILE|URL...", help="The databases to read; none is changed.")
    ],
    db: _MadeDatabase = DEFAULT_DATABASE,
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
    done: list[tuple[str, Added]] = []
    with ProfileDatabase(db, create=True) as target, progress("merge") as show:

        def show_added(source: str, added: Added) -> None:
            done.append((source, added))
            show(len(done), total, added.campaign)

        merge_into(sources, target, show_added)
        location = target.location
    _print_added(location, done, json)


def _print_added(location: str, done: Sequence[tuple[str, Added]], json: bool) -> None:
    """Print which campaigns came into a database, and from where."""
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
