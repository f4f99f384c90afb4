"""What other packages bring by entry points: devices, runtimes, tasks, search methods."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.metadata import entry_points

from atb.errors import AtbError, InputError
from atb.text_files import one_line


def plugins(group: str) -> dict[str, str]:
    """The entry points of a group, found without importing them.

    Args:
        group: Such as `atb.devices`.

    Returns:
        Where each lies, `module:object`, by its name.
    """
    return {entry.name: entry.value for entry in entry_points(group=group)}


@contextlib.contextmanager
def translate_plugin_errors(kind: str, name: str, path: str) -> Iterator[None]:
    """Make one sentence of whatever another package raises while it is loaded.

    Args:
        kind: What it brings, such as `device`.
        name: Name of the entry point.
        path: Where it lies, `module:object`.

    Raises:
        InputError: It could not be loaded. Errors of our own pass.
    """
    try:
        yield
    except AtbError:
        raise
    except Exception as error:
        raise InputError(
            f"The {kind} {name} cannot be imported from {path} ({one_line(error)}): repair or "
            "remove the package that brings it."
        ) from error
