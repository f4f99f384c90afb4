"""`atb database export`: measurements as a table for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from atb.commands.arguments import DEFAULT_DATABASE, Database, Json, OneCampaign
from atb.commands.output import print_result, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atb.profiler.database import ProfileReader
    from atb.profiler.maintenance import CampaignRows


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


def _raw(database: ProfileReader, labels: Sequence[str]) -> list[dict[str, Any]]:
    from atb.profiler.maintenance import raw_rows, read_campaigns

    def read() -> Iterator[CampaignRows]:
        for done, campaign in enumerate(read_campaigns(database, labels), start=1):
            yield campaign
            show(done, len(labels), campaign.campaign["label"])

    with progress("export") as show:
        return raw_rows(read())


def _measured(database: ProfileReader, labels: Sequence[str]) -> list[dict[str, Any]]:
    from atb.profiler import read_measurements
    from atb.profiler.maintenance import measurement_rows

    rows: list[dict[str, Any]] = []
    with progress("export") as show:
        for done, label in enumerate(labels):
            show(done, len(labels), label)
            rows += measurement_rows(read_measurements(database, campaign=label, models=True))
        show(len(labels), len(labels), "")
    return rows
