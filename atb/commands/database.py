"""`atb database`: hand measurements on, take them in, put databases together."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atb.commands.arguments import DEFAULT_DATABASE, Database, Json, OneCampaign
from atb.commands.output import note, print_json, print_line, print_table, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from atb.profiler.database import ProfileReader
    from atb.profiler.maintenance import Added, CampaignRows

app = typer.Typer(help="Profile databases: export, import, merge, repair.", no_args_is_help=True)

Target = Annotated[
    str, typer.Option("--db", metavar="FILE|URL", help="Where to; made if it is missing.")
]

_BYTES_OF_A_MEGABYTE = 1e6


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Ends in .parquet or .csv.")],
    db: Database = DEFAULT_DATABASE,
    campaign: OneCampaign = None,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="All raw rows, which `import` takes in again.")
    ] = False,
    json: Json = False,
) -> None:
    """Write measurements as a table, one row each, or with --blocks everything that there is."""
    from atb.files import prepare_output
    from atb.profiler.database import ProfileReader
    from atb.profiler.maintenance import check_output, write_table

    check_output(out)
    with ProfileReader(db) as database:
        labels = _labels(database, campaign)
        prepare_output(out)
        rows = _raw(database, labels) if blocks else _measured(database, labels)
        location = database.location
    if not rows:
        raise InputError(
            f"{location} holds no measurements to export: measure some with `atb profile`."
        )
    write_table(out, rows, raw=blocks)
    if json:
        print_json({"out": str(out), "rows": len(rows), "campaigns": labels, "raw": blocks})
        return
    what = "raw rows" if blocks else "measurements"
    print_line(f"{out}: {len(rows):,} {what} of {len(labels)} campaigns")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="From `export --blocks`.")],
    db: Target = DEFAULT_DATABASE,
    json: Json = False,
) -> None:
    """Take in what `export --blocks` wrote; what is there already stays, and nothing doubles."""
    from atb.profiler.database import ProfileDatabase
    from atb.profiler.maintenance import add_campaigns, read_raw

    campaigns = read_raw(file)
    with ProfileDatabase(db, create=True) as database, progress("import") as show:
        done: list[Added] = []

        def tell(added: Added) -> None:
            done.append(added)
            show(len(done), len(campaigns), added.campaign)

        add_campaigns(database, campaigns, tell)
        location = database.location
    _print_added(location, [(str(file), added) for added in done], json)


@app.command("merge")
def merge(
    sources: Annotated[
        list[str], typer.Argument(metavar="FILE|URL...", help="Databases that are only read.")
    ],
    db: Target = DEFAULT_DATABASE,
    json: Json = False,
) -> None:
    """Add the campaigns of other databases to one; the same command twice adds nothing."""
    from atb.profiler.database import ProfileDatabase, ProfileReader
    from atb.profiler.maintenance import merge as merge_into

    total = 0
    for source in sources:  # all of them, before anything is made
        with ProfileReader(source) as database:
            total += len(database.campaigns())
    with ProfileDatabase(db, create=True) as target, progress("merge") as show:
        done: list[tuple[str, Added]] = []

        def tell(source: str, added: Added) -> None:
            done.append((source, added))
            show(len(done), total, added.campaign)

        merge_into(sources, target, tell)
        location = target.location
    _print_added(location, done, json)


@app.command("repair")
def repair(
    db: Database = DEFAULT_DATABASE,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.json",
            help="Where the rows that are taken out are kept; the default is the file "
            "NAME.rows-taken-out.json beside the database NAME.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Take rows that cannot be read out of a database, and keep them in a file."""
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
    if json:
        file = str(kept) if taken else None
        print_json({"database": location, "out": file, "rows": [row.to_json() for row in taken]})
        return
    if not taken:
        print_line(f"{location}: every row can be read")
        return
    print_table(
        ("table", "row", "why it cannot be read"),
        [(row.table, str(row.id), row.reason) for row in taken],
        left=(0, 2),
    )
    note(f"taken out of {location}: {len(taken):,} rows, which are kept in {kept}")


def _free(path: Path) -> Path:
    """This path, numbered where there is a file already, so that no kept row is lost."""
    names = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(2))
    return path if not path.exists() else next(name for name in names if not name.exists())


@app.command("info")
def info(db: Database = DEFAULT_DATABASE, json: Json = False) -> None:
    """Show format, campaigns, counts and sizes."""
    from atb.profiler.database import ProfileReader
    from atb.profiler.maintenance import take_inventory

    with ProfileReader(db) as database:
        found = take_inventory(database)
    if json:
        print_json(found.to_json())
        return
    print_line(
        f"{found.location}: format {found.format}, {len(found.campaigns)} campaigns under "
        f"{found.conditions} conditions, {found.size_bytes / _BYTES_OF_A_MEGABYTE:.2f} MB"
    )
    print_table(
        ("campaign", "space", "architectures", "blocks", "loads", "failures", "MB", "conditions"),
        [
            (
                c.campaign.label,
                c.campaign.space or "-",
                *(f"{n:,}" for n in (c.architectures, c.blocks, c.loads, c.failures)),
                f"{c.text_bytes / _BYTES_OF_A_MEGABYTE:.2f}",
                str(c.campaign.conditions),
            )
            for c in found.campaigns
        ],
        left=(0, 1, 7),
    )


def _labels(database: ProfileReader, campaign: str | None) -> list[str]:
    """Which campaigns are meant."""
    known = [found.label for found in database.campaigns()]
    if campaign is None:
        return known
    if campaign not in known:
        raise InputError(
            f"{database.location} has no campaign {campaign!r}: "
            f"it has {', '.join(known) or 'none'}."
        )
    return [campaign]


def _raw(database: ProfileReader, labels: Sequence[str]) -> list[dict[str, Any]]:
    from atb.profiler.maintenance import raw_rows, read_campaigns

    def told() -> Iterator[CampaignRows]:
        for done, campaign in enumerate(read_campaigns(database, labels), start=1):
            yield campaign
            show(done, len(labels), campaign.campaign["label"])

    with progress("export") as show:
        return raw_rows(told())


def _measured(database: ProfileReader, labels: Sequence[str]) -> list[dict[str, Any]]:
    from atb.profiler.maintenance import measurement_rows

    rows: list[dict[str, Any]] = []
    with progress("export") as show:
        for done, label in enumerate(labels):
            show(done, len(labels), label)
            rows += measurement_rows(database.measurements(campaign=label, models=True))
        show(len(labels), len(labels), "")
    return rows


def _print_added(location: str, done: Sequence[tuple[str, Added]], json: bool) -> None:
    if json:
        campaigns = [{"source": source, **added.to_json()} for source, added in done]
        print_json({"database": location, "campaigns": campaigns})
        return
    print_table(
        ("campaign", "", "blocks", "loads", "failures", "source"),
        [
            (
                added.campaign,
                "new" if added.new else "known",
                *(f"{added.rows[name]:,}" for name in ("blocks", "loads", "failures")),
                source,
            )
            for source, added in done
        ],
        left=(0, 1, 5),
    )
    for source, added in done:
        if added.differing:
            note(
                f"{added.campaign}: {added.differing} blocks of {source} differ from those that "
                f"{location} has, which stay"
            )
