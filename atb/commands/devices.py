"""`atb devices`: what can be measured here, and why not."""

from __future__ import annotations

from typing import Annotated

import typer

from atb.console import note, print_json, print_table
from atb.options import Json, Precision, RuntimeName

app = typer.Typer(help="What can be measured here.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="DEVICE")]


@app.command("list")
def list_all(json: Json = False) -> None:
    """List devices and their runtimes; for an absent runtime, what to install."""
    from atb.devices.registry import list_devices

    entries = list_devices()
    if json:
        print_json({"devices": [entry.to_json() for entry in entries]})
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
        typer.echo("")
        print_table(
            ("device", "runtime", "why it cannot be used"),
            [(entry.device, entry.runtime, entry.note) for entry in missing],
            left=(0, 1, 2),
            prose=True,
        )


@app.command("show")
def show(device: Name = "local", json: Json = False) -> None:
    """Show the facts of a device and its state now."""
    from atb.devices.registry import find_device

    found = find_device(device)
    platform, state = dict(found.platform), dict(found.state())
    if json:
        print_json({"device": found.name, "platform": platform, "state": state})
        return
    print_table(("fact", "value"), list(platform.items()), left=(0, 1))
    typer.echo("")
    print_table(
        ("state now", "value"),
        [(name, "unavailable" if value is None else str(value)) for name, value in state.items()],
        left=(0, 1),
    )


@app.command("check")
def check(
    device: Name = "local",
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    json: Json = False,
) -> None:
    """Run a small model there and compare its output with the reference."""
    from atb.devices.reference import check_device
    from atb.target import find_target

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
        typer.echo(
            f"{target.runtime.name} {target.runtime.version} {precision} on {target.device.name}: "
            f"output differs from the reference by {result.max_difference:.2g} at most "
            f"(allowed {result.bound:.2g}), run by {', '.join(result.providers)}"
        )
    if not result.passed:
        note("The device computes something else: do not trust latencies measured on it.")
        raise typer.Exit(1)
