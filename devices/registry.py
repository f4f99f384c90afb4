"""Where devices and runtimes are found by name; each is imported when it is asked for.

Another package adds a device through the entry-point group `atb.devices`, whose
entries have the same form as the built-in ones: name -> "module:Class". The user adds remote ones
with `atb devices add` (remote/saved_devices.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pkgutil import resolve_name
from typing import Any

from atb.devices.contract import Device, Runtime
from atb.devices.remote import SavedDevice, read_devices
from atb.devices.runtimes import all_runtimes, package_of, unavailable
from atb.errors import AtbError, InputError
from atb.plugins import plugins, translate_plugin_errors

#: Entry-point group of devices that other packages bring.
DEVICE_GROUP = "atb.devices"

_DEVICES = {
    "local": "atb.devices.local:LocalDevice",
    "fake": "atb.devices.fake.device:FakeDevice",
}


@dataclass(frozen=True, slots=True)
class DeviceListing:
    """A device with one of its runtimes, and why the pair cannot be used if so.

    Attributes:
        device: Name of the device.
        runtime: Name of the runtime; `-` where the device itself cannot be used.
        version: Version of the runtime's library; None if the pair cannot be used.
        precisions: What the runtime serves.
        note: Why the pair cannot be used, or what computes there.
    """

    device: str
    runtime: str
    version: str | None
    precisions: tuple[str, ...]
    note: str

    @property
    def available(self) -> bool:
        """Whether the pair can be used."""
        return self.version is not None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            **asdict(self),
            "precisions": list(self.precisions),
            "available": self.available,
        }


def find_device(name: str) -> Device:
    """A device by name.

    Raises:
        InputError: There is no such device, or a foreign one does not load.
    """
    device: Device
    if name in _DEVICES:
        device = resolve_name(_DEVICES[name])()
        return device
    known = _known_devices()
    if name not in known:
        saved = read_devices()
        if name in saved:
            from atb.devices.remote import SshDevice

            return SshDevice(saved[name])
        raise InputError(
            f"There is no device {name!r}: choose one of {', '.join([*known, *saved])}; "
            "`atb devices list` shows what each can do, `atb devices add` adds a remote one."
        )
    with translate_plugin_errors("device", name, known[name]):
        device = resolve_name(known[name])()
    return device


def find_runtime(device: Device, name: str | None = None) -> Runtime:
    """A runtime that the device can serve now; its first one if no name is given.

    Raises:
        InputError: There is none of that name.
    """
    runtimes = device.runtimes
    if name is None and runtimes:
        return next(iter(runtimes.values()))
    if name is not None and name in runtimes:
        return runtimes[name]
    reason = f"choose one of {', '.join(runtimes)}" if runtimes else "it has none"
    known = all_runtimes()
    if name in known:
        missing = unavailable(known[name])
        reason = missing or f"the package {package_of(name)} is not installed on the device"
    wanted = "any runtime" if name is None else f"the runtime {name!r}"
    raise InputError(f"The device {device.name} cannot serve {wanted}: {reason}.")


def device_names() -> tuple[str, ...]:
    """Names of the devices that can be asked for here."""
    return (*_known_devices(), *read_devices())


def taken_names() -> tuple[str, ...]:
    """Names of devices that the user may not give to another one."""
    return tuple(_known_devices())


def list_devices() -> list[DeviceListing]:
    """All known devices by runtime; what cannot be used says why.

    Remote ones are told from what they said when they were added, without a connection.
    """
    listings = []
    for name in _known_devices():
        try:
            listings.extend(_list_runtimes(find_device(name)))
        except AtbError as error:
            listings.append(DeviceListing(name, "-", None, (), str(error)))
    try:
        saved = read_devices()
    except AtbError as error:
        return [*listings, DeviceListing("-", "-", None, (), str(error))]
    known = taken_names()
    return listings + [
        listing for name in saved if name not in known for listing in list_saved(saved[name])
    ]


def list_saved(saved: SavedDevice) -> list[DeviceListing]:
    """A remote device by runtime, from what it said of itself."""
    versions = saved.facts.versions
    processor = saved.facts.platform.get("processor", "unknown processor")
    listings = []
    for name, runtime in all_runtimes().items():
        if "numpy" not in versions:
            note = "numpy is not installed on the device; run `pip install numpy` there"
        elif name not in versions:
            package = package_of(name)
            note = f"{package} is not installed on the device; run `pip install {package}` there"
        else:
            note = unavailable(runtime) or ""  # what is built is built here
        version = None if note else versions[name]
        listings.append(
            DeviceListing(saved.name, name, version, runtime.precisions, note or processor)
        )
    return listings


def _list_runtimes(device: Device) -> list[DeviceListing]:
    processor = device.platform.get("processor", "unknown processor")
    listings = [
        DeviceListing(device.name, runtime.name, runtime.version, runtime.precisions, processor)
        for runtime in device.runtimes.values()
    ]
    if device.name != "local":  # only here could a package be installed to serve more
        return listings
    for name, runtime in all_runtimes().items():
        reason = unavailable(runtime)
        if reason is not None:
            listings.append(DeviceListing("local", name, None, runtime.precisions, reason))
    return listings


def _known_devices() -> dict[str, str]:
    return {**_DEVICES, **{n: p for n, p in plugins(DEVICE_GROUP).items() if n not in _DEVICES}}
