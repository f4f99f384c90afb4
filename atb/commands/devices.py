"""`atb devices`: what can be measured on, remote devices, and known ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from atb.commands.arguments import (
    DEFAULT_DATABASE,
    Database,
    Json,
    OneCampaign,
    OneDevice,
    Options,
    Precision,
    RuntimeName,
    Seed,
    TargetOptions,
    agreeing_conditions,
    completion,
    option,
)
from atb.commands.output import Table, print_result, print_status, progress
from atb.errors import BadFile, InputError

if TYPE_CHECKING:
    from atb.predictor.known_devices import DeviceTrainingSets, KnownDevice

_Known = Sequence[tuple[Path, "KnownDevice | BadFile"]]
_DeviceArgument = Annotated[
    str,
    Argument(
        metavar="DEVICE",
        help="A device of `atb devices list`.",
        autocompletion=completion.devices_and_known,
    ),
]


def list_all(json: Json = False) -> None:
    """List devices and their runtimes, and what to install for a runtime that is missing.

    Known devices come last: latencies on them can be predicted without having them.

    Example:
        atb devices list
    """
    from atb.devices import list_devices

    entries, known = list_devices(), _list_known()
    found = [
        (entry.device, entry.runtime, entry.version, " ".join(entry.precisions), entry.note)
        for entry in entries
        if entry.version is not None
    ]
    header = ("device", "runtime", "version", "precisions", "note")
    tables = [Table(header, found, left=(0, 1, 2, 3, 4), prose=True)]
    missing = [(e.device, e.runtime, e.note) for e in entries if not e.available]
    if missing:
        header_missing = ("device", "runtime", "why it cannot be used")
        tables.append(Table(header_missing, missing, left=(0, 1, 2), prose=True))
    if known:
        tables.append(_known_table(known))
    print_result(
        {
            "devices": [entry.to_json() for entry in entries],
            "known_devices": [
                {"name": path.stem, "path": str(path), "problem": str(found)}
                if isinstance(found, BadFile)
                else {"path": str(path), **found.to_json()}
                for path, found in known
            ],
        },
        *tables,
        json=json,
    )


def _list_known() -> _Known:
    """All known devices with their files, or why a file cannot be used."""
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


def _known_table(entries: _Known) -> Table:
    rows = [
        (path.stem, str(found), "-", "")
        if isinstance(found, BadFile)
        else (found.name, found.processor, str(len(found.predictors)), " ".join(found.runtimes))
        for path, found in entries
    ]
    return Table(("known device", "processor", "conditions", "runtimes"), rows, left=(0, 1, 3))


class ConnectionOptions(Options, panel="Connection"):
    """How a remote device is reached."""

    key: Path | None = option(
        default=None,
        metavar="FILE",
        help="Log in with this private key; by default with the usual keys and the agent's.",
    )
    known_hosts: Path | None = option(
        default=None,
        metavar="FILE",
        help="Trust the host keys in this file; by default those in ~/.ssh/known_hosts.",
    )
    python: str = option(default="python3", help="Start Python on the device with this command.")


def add(
    name: Annotated[str, Argument(metavar="NAME", help="A name for the device, such as pi4.")],
    address: Annotated[
        str, Argument(metavar="ADDRESS", help="Its address, as ssh://user@host[:port].")
    ],
    connection: ConnectionOptions,
    json: Json = False,
) -> None:
    """Add a remote device that is reached over SSH: a board, a server, another laptop.

    It needs Python 3.9 or newer, numpy and a runtime. Nothing is installed on it, and nothing
    stays on it.

    Example:
        atb devices add pi4 ssh://pi@192.168.0.4
    """
    from atb.devices import add_device

    saved, listings, path = add_device(
        name,
        address,
        key=connection.key,
        known_hosts=connection.known_hosts,
        python=connection.python,
    )
    runtimes = [(e.runtime, e.version or "-", " ".join(e.precisions), e.note) for e in listings]
    print_result(
        {
            "device": name,
            **saved.to_json(),
            "runtimes": [listing.to_json() for listing in listings],
            "path": str(path),
        },
        Table(("fact", "value"), list(saved.facts.platform.items()), left=(0, 1)),
        Table(("runtime", "version", "precisions", "note"), runtimes, left=(0, 1, 2, 3)),
        json=json,
        status=[f"{name} is kept in {path}; `atb devices check {name}` runs a model on it."],
    )


def remove(
    name: Annotated[
        str,
        Argument(
            metavar="NAME",
            help="The name that it was added under.",
            autocompletion=completion.devices,
        ),
    ],
) -> None:
    """Forget a remote device; what was measured on it stays.

    Example:
        atb devices remove pi4
    """
    from atb.devices import remove_device

    print_status(f"{name} is no longer kept in {remove_device(name)}.")


def show(device: _DeviceArgument = "local", json: Json = False) -> None:
    """Show the facts of a device and its state now; of a known one, how well it is predicted.

    Example:
        atb devices show local
    """
    from atb.devices import device_names, find_device, find_known_file

    document: dict[str, Any]
    if device not in device_names() and find_known_file(device) is not None:
        from atb.predictor.known_devices import find_known_device

        known = find_known_device(device)
        document, platform = {"known_device": known.to_json()}, dict(known.platform)
        further = _conditions_table(known)
    else:
        found = find_device(device)
        platform, state = dict(found.platform), dict(found.state())
        document = {"device": found.name, "platform": platform, "state": state}
        now = [(name, "unavailable" if v is None else str(v)) for name, v in state.items()]
        further = Table(("state now", "value"), now, left=(0, 1))
    facts = Table(("fact", "value"), list(platform.items()), left=(0, 1))
    print_result(document, facts, further, json=json)


def check(
    device: _DeviceArgument = "local",
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    json: Json = False,
) -> None:
    """Run a small model on a device and compare its output with the reference.

    Example:
        atb devices check pi4 --precision int8
    """
    from atb.devices.runtimes import check_device

    options = TargetOptions(device=device, runtime=runtime, precision=precision)
    target = options.find(cache=None)
    result = check_device(*target.where)
    print_result(
        {
            "device": target.device.name,
            "runtime": target.runtime.name,
            "precision": precision,
            "passed": result.passed,
            "max_difference": result.max_difference,
            "bound": result.bound,
            "providers": list(result.providers),
        },
        f"{target.runtime.name} {target.runtime.version} {precision} on {target.device.name}: "
        f"output differs from the reference by {result.max_difference:.2g} at most "
        f"(allowed {result.bound:.2g}), run by {', '.join(result.providers)}",
        json=json,
    )
    if not result.passed:
        print_status("The device computes something else: do not trust latencies measured on it.")
        raise typer.Exit(1)


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
        _conditions_table(known),
        json=json,
        status=[f"left out: {one.conditions}: {one.reason}" for one in collected.left_out],
    )


def _collect(db: str, name: str, device: str | None, campaign: str | None) -> DeviceTrainingSets:
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


def _conditions_table(known: KnownDevice) -> Table:
    """How well each predictor of a known device does."""
    rows = [
        (
            one.description,
            str(one.summary.rows),
            f"{one.summary.cross_validated_mape:.1%}",
            f"{one.within_5:.0%}",
            one.measured_on.isoformat(),
        )
        for one in known.predictors
    ]
    return Table(("conditions", "rows", "error", "within 5 %", "measured on"), rows)
