"""The user's remote devices, kept in one JSON file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.devices import configuration_folder
from atb.devices.remote.ssh import SshAddress
from atb.devices.worker import parse_clusters, parse_facts, parse_text
from atb.errors import BadFile, InputError
from atb.files import read_document, write_document
from atb.plain import to_plain

_KIND, _FORMAT = "devices", 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class RemoteFacts:
    """What a machine says of itself.

    Attributes:
        platform: Facts that identify its hardware.
        clusters: Groups of CPUs that are equally fast, the fastest first.
        usable_cpus: That the worker may be pinned to; None where the system cannot pin.
        versions: Of the libraries that are installed there, by runtime; of numpy too.
        python: Version of the Python that runs there.
    """

    platform: Mapping[str, str]
    clusters: tuple[tuple[int, ...], ...]
    usable_cpus: tuple[int, ...] | None
    versions: Mapping[str, str]
    python: str

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RemoteFacts:
        """From plain values of a device that is not trusted.

        Raises:
            ProtocolError: They are something else.
        """
        usable = fields.get("usable_cpus")
        return cls(
            parse_facts(fields.get("platform")),
            parse_clusters(fields.get("clusters")),
            None if usable is None else parse_clusters([usable])[0],
            parse_facts(fields.get("versions")),
            parse_text(fields.get("python"), "a version of Python", most=40),
        )


@dataclass(frozen=True)
class SavedDevice:
    """How a device is reached, and what it said of itself when it was added.

    Attributes:
        name: What the user calls it.
        address: The host, its port and the user.
        facts: What the device said of itself when it was added.
        python: What starts Python on the device.
        key: File of a private key; None for the usual ones and the agent's.
        known_hosts: File of trusted host keys; None for the usual ones.
    """

    name: str
    address: SshAddress
    facts: RemoteFacts
    python: str = "python3"
    key: Path | None = None
    known_hosts: Path | None = None

    @classmethod
    def from_json(cls, name: str, fields: Mapping[str, Any]) -> SavedDevice:
        """From plain values.

        Raises:
            InputError, KeyError, TypeError, ValueError: They are something else.
        """
        key, known_hosts = fields.get("key"), fields.get("known_hosts")
        return cls(
            name,
            SshAddress.parse(fields["address"]),
            RemoteFacts.from_json(fields["facts"]),
            str(fields["python"]),
            None if key is None else Path(key),
            None if known_hosts is None else Path(known_hosts),
        )

    def to_json(self) -> dict[str, Any]:
        """The reverse, without the name."""
        return {
            "address": str(self.address),
            "python": self.python,
            "key": None if self.key is None else str(self.key),
            "known_hosts": None if self.known_hosts is None else str(self.known_hosts),
            "facts": to_plain(self.facts),
        }


def check_name(name: str) -> None:
    """Look whether a device may have this name.

    Raises:
        InputError: The name has other characters, or too many.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"A device cannot be called {name!r}: take up to 64 small letters, digits, dots, "
            "dashes and underscores, such as pi4."
        )


def devices_path() -> Path | None:
    """Where the file is: `ATB_DEVICES`, or else in the user's folder of configurations.

    None for a user without a home.
    """
    if named := os.environ.get("ATB_DEVICES"):
        return Path(named)
    folder = configuration_folder()
    return None if folder is None else folder / "devices.json"


def read_devices() -> dict[str, SavedDevice]:
    """The user's devices by name; none where there is no file.

    Raises:
        BadFile: The file is damaged.
    """
    path = devices_path()
    if path is None or not _is_there(path):
        return {}
    document = read_document(path, kind=_KIND, format=_FORMAT)
    try:
        entries = dict(document["devices"])
        for name in entries:
            check_name(name)
        return {name: SavedDevice.from_json(name, fields) for name, fields in entries.items()}
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(
            f"{path} does not describe devices ({error}): mend it, or delete it and add them again."
        ) from error


def _is_there(path: Path) -> bool:
    """Whether there is a file; in the home folder of another user there is none of ours."""
    try:
        return path.exists()
    except PermissionError:
        return "ATB_DEVICES" in os.environ  # it was named, and reading it says why it cannot be


def write_devices(devices: Mapping[str, SavedDevice]) -> Path:
    """Write all of them, and tell where.

    Raises:
        InputError: The file cannot be written.
    """
    path = devices_path()
    if path is None:
        raise InputError(
            "Devices are kept in the home folder and none is known: set HOME or XDG_CONFIG_HOME, "
            "or name a file with ATB_DEVICES."
        )
    entries = {name: devices[name].to_json() for name in sorted(devices)}
    try:
        write_document(path, {"devices": entries}, kind=_KIND, format=_FORMAT)
    except OSError as error:
        raise InputError(
            f"Cannot write to {path} ({error.strerror}): name another file with ATB_DEVICES."
        ) from error
    return path
