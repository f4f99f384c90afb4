"""`atb devices add`: a remote device that is reached over SSH."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from atb.commands.arguments import Json, Options, option
from atb.commands.output import Table, print_result


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
