"""`atb devices remove`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from atb.commands.arguments import completion
from atb.commands.output import print_status


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
