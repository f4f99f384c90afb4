"""Adding a remote device, and forgetting it."""

from __future__ import annotations

from pathlib import Path

from atb.devices.registry import DeviceListing, list_saved, taken_names
from atb.devices.remote import (
    RemoteAgent,
    SavedDevice,
    check_name,
    read_devices,
    read_facts,
    write_devices,
)
from atb.devices.remote.ssh import SshAddress
from atb.devices.user_folders import expand_user
from atb.errors import InputError


def add_device(
    name: str,
    address: str,
    *,
    python: str = "python3",
    key: Path | None = None,
    known_hosts: Path | None = None,
) -> tuple[SavedDevice, list[DeviceListing], Path]:
    """Connect to a device once, and keep how that is done and what it said.

    Args:
        name: What to call it.
        address: Such as `ssh://user@host:port`.
        python: What starts Python on the device.
        key: File of a private key; None for the usual ones and the agent's.
        known_hosts: File of trusted host keys; None for the usual ones.

    Returns:
        What is kept, what can be run there, and the file that keeps it.

    Raises:
        InputError: Something that was given cannot be used.
        RunError: The device cannot be reached.
    """
    check_name(name)
    devices = read_devices()
    if name in taken_names():
        raise InputError(f"The name {name} is taken by a device of atb: choose another one.")
    if name in devices:
        raise InputError(
            f"There is a device {name} at {devices[name].address}: take it out with "
            f"`atb devices remove {name}`, or choose another name."
        )
    key, known_hosts = (
        None if path is None else expand_user(path).absolute() for path in (key, known_hosts)
    )
    place = SshAddress.parse(address)
    agent = RemoteAgent(place, python=python, key=key, known_hosts=known_hosts)
    try:
        facts = read_facts(agent)
    finally:
        agent.close()
    saved = SavedDevice(name, place, facts, python, key, known_hosts)
    path = write_devices({**devices, name: saved})
    return saved, list_saved(saved), path


def remove_device(name: str) -> Path:
    """Forget a remote device, and tell in which file.

    Raises:
        InputError: There is none of that name.
    """
    devices = read_devices()
    if name not in devices:
        known = f"choose one of {', '.join(devices)}" if devices else "none was added"
        raise InputError(f"There is no remote device {name!r}: {known}.")
    return write_devices({key: saved for key, saved in devices.items() if key != name})
