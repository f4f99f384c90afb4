"""Known devices: `atb devices bundle`, and what `list` and `show` tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atb.commands.arguments import DEFAULT_DATABASE, Database, Json, OneCampaign, OneDevice, Seed
from atb.commands.output import note, print_json, print_line, print_table, progress
from atb.errors import BadFile, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atb.predictor.known_devices import DeviceTrainingSets, KnownDevice

__all__ = ["bundle", "known_to_json", "list_known", "print_known", "print_known_list"]


def bundle(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the device.")],
    db: Database = DEFAULT_DATABASE,
    device: OneDevice = None,
    campaign: OneCampaign = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Your own known devices, by default.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Make a known device of what was measured on one: a predictor for each set of conditions.

    Of several devices in the database it is --device, else the one called NAME.
    """
    from atb.devices import check_known_name, own_file
    from atb.files import prepare_output
    from atb.predictor.known_devices import bundle_device, write_known_device

    check_known_name(name)
    path = out or own_file(name)
    if path.exists() and not force:
        raise InputError(f"{path} is there already: replace it with --force, or choose another.")
    collected = _collect(db, name, device, campaign)
    prepare_output(path)
    with progress("bundle") as show:
        known = bundle_device(name, collected.sets, seed=seed, tell=show)
    write_known_device(known, path)
    if json:
        left_out = [
            {"conditions": one.conditions.to_json(), "reason": one.reason}
            for one in collected.left_out
        ]
        print_json({"known_device": str(path), **known.to_json(), "left_out": left_out})
        return
    print_line(f"{path}: {known.name}, {known.processor}")
    _print_conditions(known)
    for one in collected.left_out:
        note(f"left out: {one.conditions}: {one.reason}")


def _collect(db: str, name: str, device: str | None, campaign: str | None) -> DeviceTrainingSets:
    from atb.commands.arguments import agreeing_conditions
    from atb.predictor.known_devices import collect_training_sets
    from atb.profiler.database import ProfileDatabase

    with ProfileDatabase(db) as database:
        agreeing = agreeing_conditions(database, campaign, device=device)
        namesakes = [found for found in agreeing if found.device == name]
        return collect_training_sets(
            {
                conditions: database.measurements(conditions=conditions, campaign=campaign)
                for conditions in (device is None and namesakes) or agreeing
            }
        )


def list_known() -> list[tuple[Path, KnownDevice | BadFile]]:
    """All known devices with their files; of one that cannot be used, why."""
    from atb.devices import known_files

    files = known_files()
    if not files:  # what reads them is not imported in vain
        return []
    from atb.predictor.known_devices import find_known_device

    found: list[tuple[Path, KnownDevice | BadFile]] = []
    for name, path in files.items():
        try:
            found.append((path, find_known_device(name)))
        except BadFile as error:
            found.append((path, error))
    return found


def print_known_list(entries: Sequence[tuple[Path, KnownDevice | BadFile]]) -> None:
    """Print a line for each."""
    print_table(
        ("known device", "processor", "conditions", "runtimes"),
        [
            (path.stem, str(found), "-", "")
            if isinstance(found, BadFile)
            else (found.name, found.processor, str(len(found.predictors)), " ".join(found.runtimes))
            for path, found in entries
        ],
        left=(0, 1, 3),
    )


def known_to_json(path: Path, found: KnownDevice | BadFile) -> dict[str, Any]:
    """What is told of one, or why it cannot be used."""
    if isinstance(found, BadFile):
        return {"name": path.stem, "path": str(path), "problem": str(found)}
    return {"path": str(path), **found.to_json()}


def print_known(known: KnownDevice) -> None:
    """Print the facts of a known device, and how well each of its predictors does."""
    print_table(("fact", "value"), list(known.platform.items()), left=(0, 1))
    print_line("")
    _print_conditions(known)


def _print_conditions(known: KnownDevice) -> None:
    print_table(
        ("conditions", "rows", "error", "within 5 %", "measured on"),
        [
            (
                one.words,
                str(one.summary.rows),
                f"{one.summary.cross_validated_mape:.1%}",
                f"{one.within_5:.0%}",
                one.measured_on.isoformat(),
            )
            for one in known.predictors
        ],
        left=(0,),
    )
