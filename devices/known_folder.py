"""Where known devices lie: files that came with the package, and the user's own.

What is in them, `atb.predictor.known_devices.known_device` says; here are only names and paths.
"""

from __future__ import annotations

import re
from pathlib import Path

from atb.devices.user_folders import configuration_folder
from atb.errors import InputError

#: Where the package's own are.
SHIPPED_FOLDER = Path(__file__).resolve().with_name("known")
_OWN_FOLDER = "known-devices"
#: No path is built from another name: not from `../x`, and none that a file system may fold.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
#: Means another machine on every machine.
_NAMELESS = "local"


def check_known_name(name: str) -> str:
    """Make sure that a known device may be called so.

    Raises:
        InputError: The name cannot be one of a file.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"A known device cannot be called {name!r}: choose up to 64 small letters, digits, "
            "dots, dashes and underscores, with a letter or a digit first."
        )
    if name == _NAMELESS:
        raise InputError(
            f"A known device cannot be called {name!r}, which is another machine everywhere: "
            "choose a name that tells which one it is."
        )
    return name


def own_file(name: str) -> Path:
    """Where the user's own known device of this name is, or will be.

    Raises:
        InputError: None may be called so, or the user has no folder for it.
    """
    check_known_name(name)
    folder = configuration_folder()
    if folder is None:
        raise InputError(
            "Known devices are kept in the home folder and none is known: set HOME or "
            "XDG_CONFIG_HOME, or name a file with --out."
        )
    return folder / _OWN_FOLDER / f"{name}.json"


def known_files() -> dict[str, Path]:
    """The files of all known devices by name, in the order of the names.

    An own one hides a shipped one of the same name.
    """
    found: dict[str, Path] = {}
    own = configuration_folder()
    for folder in (SHIPPED_FOLDER, *([] if own is None else [own / _OWN_FOLDER])):
        # a hidden one is half written
        found |= {p.stem: p for p in folder.glob("*.json") if not p.name.startswith(".")}
    return dict(sorted(found.items()))


def find_known_file(name: str) -> Path | None:
    """The file of a known device, None if there is none of this name."""
    return known_files().get(name)
