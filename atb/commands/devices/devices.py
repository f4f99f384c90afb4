"""`atb devices`: what can be measured here, and why not, and what is known of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atb.commands.arguments import Json, Precision, RuntimeName, completion
from atb.commands.devices.bundle import (
    bundle,
    known_to_json,
    list_known,
    print_known,
    print_known_list,
)
from atb.commands.output import note, print_json, print_line, print_table

app = typer.Typer(help="What can be measured here.", no_args_is_help=True)
app.command("bundle")(bundle)

Name = Annotated[str, typer.Argument(metavar="DEVICE", autocompletion=completion.devices_and_known)]


@app.command("list")
def list_all(json: Json = False) -> None:
    """List devices and their runtimes; for an absent runtime, what to install.

    Known devices come last: latencies on them can be predicted without having them.
    """
    from atb.devices import list_devices

    entries, known = list_devices(), list_known()
    if json:
        print_json(
            {
                "devices": [entry.to_json() for entry in entries],
                "known_devices": [known_to_json(path, found) for path, found in known],
            }
        )
        return
    print_table(
        ("device", "runtime", "version", "precisions", "note"),
        [
            (entry.device, entry.runtime, entry.version, " ".join(entry.precisions), entry.note)
            for entry in entries
            if entry.version is not None
        ],
        left=(0, 1, 2, 3, 4),
        prose=True,
    )
    missing = [entry for entry in entries if not entry.available]
    if missing:
        print_line("")
        print_table(
            ("device", "runtime", "why it cannot be used"),
            [(entry.device, entry.runtime, entry.note) for entry in missing],
            left=(0, 1, 2),
            prose=True,
        )
    if known:
        print_line("")
        print_known_list(known)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it, such as pi4.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="ssh://user@host[:port]")],
    key: Annotated[
        Path | None, typer.Option(help="Private key; else the usual ones and the agent's.")
    ] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="Trusted host keys; else ~/.ssh/known_hosts.")
    ] = None,
    python: Annotated[str, typer.Option(help="What starts Python on the device.")] = "python3",
    json: Json = False,
) -> None:
    """Add a remote device that is reached over SSH: a board, a server, another laptop.

    It needs Python 3.9 or newer, numpy and a runtime. Nothing is installed there, and nothing
    stays there.
    """
    from atb.devices import add_device

    saved, listings, path = add_device(
        name, address, key=key, known_hosts=known_hosts, python=python
    )
    if json:
        print_json(
            {
                "device": name,
                **saved.to_json(),
                "runtimes": [listing.to_json() for listing in listings],
                "path": str(path),
            }
        )
        return
    print_table(("fact", "value"), list(saved.facts.platform.items()), left=(0, 1))
    print_line("")
    print_table(
        ("runtime", "version", "precisions", "note"),
        [(e.runtime, e.version or "-", " ".join(e.precisions), e.note) for e in listings],
        left=(0, 1, 2, 3),
    )
    note(f"{name} is kept in {path}; `atb devices check {name}` runs a model there.")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.devices)],
) -> None:
    """Forget a remote device; what was measured on it stays."""
    from atb.devices import remove_device

    note(f"{name} is no longer kept in {remove_device(name)}.")


@app.command("show")
def show(device: Name = "local", json: Json = False) -> None:
    """Show the facts of a device and its state now; of a known one, how well it is predicted."""
    from atb.devices import device_names, find_device, find_known_file

    if device not in device_names() and find_known_file(device) is not None:
        _show_known(device, json=json)
        return
    found = find_device(device)
    platform, state = dict(found.platform), dict(found.state())
    if json:
        print_json({"device": found.name, "platform": platform, "state": state})
        return
    print_table(("fact", "value"), list(platform.items()), left=(0, 1))
    print_line("")
    print_table(
        ("state now", "value"),
        [(name, "unavailable" if value is None else str(value)) for name, value in state.items()],
        left=(0, 1),
    )


def _show_known(name: str, *, json: bool) -> None:
    from atb.predictor.known_devices import find_known_device

    known = find_known_device(name)
    if json:
        print_json({"known_device": known.to_json()})
        return
    print_known(known)


@app.command("check")
def check(
    device: Name = "local",
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    json: Json = False,
) -> None:
    """Run a small model there and compare its output with the reference."""
    from atb.commands.arguments import find_target
    from atb.devices.runtimes import check_device

    target = find_target(
        device, runtime, precision=precision, threads=1, batch=1, sequence_length=128
    )
    result = check_device(target.device, target.runtime, target.settings)
    if json:
        print_json(
            {
                "device": target.device.name,
                "runtime": target.runtime.name,
                "precision": precision,
                "passed": result.passed,
                "max_difference": result.max_difference,
                "bound": result.bound,
                "providers": list(result.providers),
            }
        )
    else:
        print_line(
            f"{target.runtime.name} {target.runtime.version} {precision} on {target.device.name}: "
            f"output differs from the reference by {result.max_difference:.2g} at most "
            f"(allowed {result.bound:.2g}), run by {', '.join(result.providers)}"
        )
    if not result.passed:
        note("The device computes something else: do not trust latencies measured on it.")
        raise typer.Exit(1)
