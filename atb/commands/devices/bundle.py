"""`atb devices bundle`: a known device out of what was measured on one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from atb.commands.arguments import DEFAULT_DATABASE, Database, Json, OneCampaign, OneDevice, Seed
from atb.commands.devices.known import conditions_table
from atb.commands.output import print_result, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.predictor.known_devices import DeviceTrainingSets


def bundle(
    name: Annotated[str, Argument(metavar="NAME", help="A name for the known device.")],
    db: Database = DEFAULT_DATABASE,
    device: OneDevice = None,
    campaign: OneCampaign = None,
    out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Write the known device to this file; by default among your own known devices.",
        ),
    ] = None,
    force: Annotated[bool, Option("--force", help="Replace a file that is there already.")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Make a known device of what was measured: a predictor for each set of conditions.

    Of several devices in the database --device is taken, or else the one called NAME.

    Example:
        atb devices bundle pi4 --db atb-runs/profile.db
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
    left_out = [
        {"conditions": one.conditions.to_json(), "reason": one.reason} for one in collected.left_out
    ]
    print_result(
        {"known_device": str(path), **known.to_json(), "left_out": left_out},
        f"{path}: {known.name}, {known.processor}",
        conditions_table(known),
        json=json,
        status=[f"left out: {one.conditions}: {one.reason}" for one in collected.left_out],
    )


def _collect(db: str, name: str, device: str | None, campaign: str | None) -> DeviceTrainingSets:
    from atb.commands.arguments import agreeing_conditions
    from atb.predictor.known_devices import collect_training_sets
    from atb.profiler import read_measurements
    from atb.profiler.database import ProfileDatabase

    with ProfileDatabase(db) as database:
        agreeing = agreeing_conditions(database, campaign, device=device)
        namesakes = [found for found in agreeing if found.device == name]
        return collect_training_sets(
            {
                conditions: read_measurements(database, conditions=conditions, campaign=campaign)
                for conditions in (device is None and namesakes) or agreeing
            }
        )
