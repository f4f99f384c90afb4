"""Where a user's own files lie; the one place that looks for a home folder.

A user of a container may have none: no entry in the list of users and no HOME, or one that cannot
be read. What only reads finds nothing there then, and what writes says which variable to set.
"""

from __future__ import annotations

import os
from pathlib import Path

from atb.errors import InputError

_NAME = "autotinybert"


def home_folder() -> Path | None:
    """The user's home folder, None for one without."""
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        return None
    return home if home.is_absolute() else None


def configuration_folder() -> Path | None:
    """Where the user's devices are written down: beside `ATB_DEVICES`, else as XDG says.

    None for a user without a home.
    """
    if devices := os.environ.get("ATB_DEVICES"):
        return Path(devices).parent
    return _xdg_folder("XDG_CONFIG_HOME", ".config")


def cache_folder() -> Path | None:
    """Where caches are kept, as XDG says; None for a user without a home."""
    return _xdg_folder("XDG_CACHE_HOME", ".cache")


def expand_user(path: Path) -> Path:
    """A path with `~` replaced.

    Raises:
        InputError: There is no such home folder.
    """
    try:
        return path.expanduser()
    except (RuntimeError, KeyError) as error:
        raise InputError(
            f"{path} lies in a home folder and none is known: set HOME, or give the whole path."
        ) from error


def _xdg_folder(variable: str, below_home: str) -> Path | None:
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():  # others are to be ignored, as the XDG specification wants it
        return named / _NAME
    home = home_folder()
    return None if home is None else home / below_home / _NAME
