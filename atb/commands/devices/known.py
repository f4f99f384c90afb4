"""Known devices, as `atb devices` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from atb.commands.arguments import completion
from atb.commands.output import Table
from atb.errors import BadFile

if TYPE_CHECKING:
    from atb.predictor.known_devices import KnownDevice

DeviceArgument = Annotated[
    str,
    Argument(
        metavar="DEVICE",
        help="A device of `atb devices list`.",
        autocompletion=completion.devices_and_known,
    ),
]


def list_known() -> list[tuple[Path, KnownDevice | BadFile]]:
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


def known_table(entries: Sequence[tuple[Path, KnownDevice | BadFile]]) -> Table:
    """A line for each known device."""
    rows = [
        (path.stem, str(found), "-", "")
        if isinstance(found, BadFile)
        else (found.name, found.processor, str(len(found.predictors)), " ".join(found.runtimes))
        for path, found in entries
    ]
    return Table(("known device", "processor", "conditions", "runtimes"), rows, left=(0, 1, 3))


def known_to_json(path: Path, found: KnownDevice | BadFile) -> dict[str, Any]:
    """A known device as JSON, or why its file cannot be used."""
    if isinstance(found, BadFile):
        return {"name": path.stem, "path": str(path), "problem": str(found)}
    return {"path": str(path), **found.to_json()}


def conditions_table(known: KnownDevice) -> Table:
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
