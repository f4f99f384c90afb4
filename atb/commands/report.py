"""`atb report`: one page of what was measured, predicted and found."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

from typer import Option

from atb.commands.arguments import DEFAULT_DATABASE, DEFAULT_PREDICTOR, DEFAULT_SEARCH
from atb.commands.output import print_line
from atb.errors import InputError


def report(
    db: Annotated[
        str | None,
        Option(
            "--db",
            metavar="FILE|URL",
            help="Show the measurements of this profile database.",
            show_default=f"{DEFAULT_DATABASE} where it exists",
        ),
    ] = None,
    predictor: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Show the latency predictor in this file.",
            show_default=f"{DEFAULT_PREDICTOR} where it exists",
        ),
    ] = None,
    search: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Show the search whose results are in this folder.",
            show_default=f"{DEFAULT_SEARCH} where it exists",
        ),
    ] = None,
    out: Annotated[Path, Option(metavar="FILE", help="Write the page to this HTML file.")] = Path(
        "atb-runs/report.html"
    ),
    title: Annotated[
        str | None, Option(help="Give the page this title; by default it names the device.")
    ] = None,
) -> None:
    """Write one self-contained HTML page: device, latencies, predictor, search, winner.

    Example:
        atb report --db atb-runs/profile.db --out report.html
    """
    database = db or (DEFAULT_DATABASE if Path(DEFAULT_DATABASE).exists() else None)
    fitted = predictor or (DEFAULT_PREDICTOR if DEFAULT_PREDICTOR.exists() else None)
    folder = search or (DEFAULT_SEARCH if (DEFAULT_SEARCH / "result.json").exists() else None)
    if database is None and fitted is None and folder is None:
        raise InputError(
            "There is nothing to report on here: run `atb quickstart` or `atb profile` first, "
            "or point at files with --db, --predictor and --search."
        )
    write(out, database=database, predictor=fitted, search=folder, title=title)
    print_line(str(out))


def write(
    out: Path,
    *,
    database: str | None,
    predictor: Path | None,
    search: Path | None,
    title: str | None = None,
    commands: tuple[str, ...] = (),
) -> None:
    """Write the page from files; those that are None leave their sections out."""
    from atb.files import prepare_output
    from atb.predictor import load
    from atb.profiler.database import ProfileDatabase
    from atb.report import write_page
    from atb.search import read_result

    result = None if search is None else read_result(search / "result.json")
    settings = None if result is None else result.conditions.settings
    fitted = None if predictor is None else load(predictor, settings)
    model = None if search is None or not (search / "model").is_dir() else search / "model"
    files = {"predictor": predictor, "search result": search and search / "result.json"}
    with contextlib.ExitStack() as stack:
        opened = None if database is None else stack.enter_context(ProfileDatabase(database))
        prepare_output(out)
        write_page(
            out,
            database=opened,
            predictor=fitted,
            result=result,
            model=model,
            files={name: path for name, path in files.items() if path is not None},
            commands=commands,
            title=title,
        )
