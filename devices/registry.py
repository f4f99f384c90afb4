"""Where devices and runtimes are found by name; each is imported when it is asked for.

A package of somebody else adds a device through the entry-point group `atb.devices`, whose
entries have the same form as the built-in ones: name -> "module:Class". The user adds remote ones
with `atb devices add` (device_file.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from atb.devices.contract import Device, Runtime
from atb.devices.device_file import SavedDevice, read_devices
from atb.devices.installed import RuntimeAbsent
from atb.errors import AtbError, InputError

__all__ = [
    "DeviceListing",
    "all_runtimes",
    "available_runtimes",
    "device_names",
    "find_device",
    "find_runtime",
    "list_devices",
    "list_saved",
    "runtime_names",
    "taken_names",
]

#: Entry-point group of devices that other packages bring.
DEVICE_GROUP = "atb.devices"

_DEVICES = {
    "local": "atb.devices.local:LocalDevice",
    "fake": "atb.devices.fake:FakeDevice",
}
# what a device of this package may serve, in the order of preference
_RUNTIMES = {
    "onnxruntime": "atb.devices.onnxruntime_cpu:OnnxRuntimeCpu",
    "onnxruntime-ort": "atb.devices.onnxruntime_ort:OnnxRuntimeOrt",
    "onnxruntime-cuda": "atb.devices.onnxruntime_cuda:OnnxRuntimeCuda",
    "openvino": "atb.devices.openvino_cpu:OpenVinoCpu",
    "torch": "atb.devices.torch_cpu:TorchCpu",
    "torch-compiled": "atb.devices.torch_cpu:TorchCompiled",
    "litert": "atb.devices.litert_xnnpack:LiteRtXnnpack",
    "ncnn": "atb.devices.ncnn_cpu:NcnnCpu",
    "executorch": "atb.devices.executorch_xnnpack:ExecuTorchXnnpack",
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
    known = _known_devices()
    if name not in known:
        saved = read_devices()
        if name in saved:
            from atb.devices.ssh import SshDevice

            return SshDevice(saved[name])
        raise InputError(
            f"There is no device {name!r}: choose one of {', '.join([*known, *saved])}; "
            "`atb devices list` shows what each can do, `atb devices add` adds a remote one."
        )
    try:
        device: Device = _load(known[name])()
    except AtbError:
        raise
    except Exception as error:  # code of somebody else
        raise InputError(
            f"The device {name} ({known[name]}) does not load ({error}): mend or remove the "
            "package that brings it."
        ) from error
    return device


def device_names() -> tuple[str, ...]:
    """Names of the devices that can be asked for here."""
    return (*_known_devices(), *read_devices())


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
    if name in _RUNTIMES and (missing := _unavailable(_load(_RUNTIMES[name])())):
        reason = missing
    elif name in _RUNTIMES:
        reason = f"the package {_package(name)} is not installed over there"
    wanted = "any runtime" if name is None else f"the runtime {name!r}"
    raise InputError(f"The device {device.name} cannot serve {wanted}: {reason}.")


def all_runtimes() -> dict[str, Runtime]:
    """The runtimes of this package, whether they can be used here or not."""
    return {name: _load(path)() for name, path in _RUNTIMES.items()}


def available_runtimes() -> dict[str, Runtime]:
    """The runtimes that are installed in this environment, found without importing them."""
    return {name: r for name, r in all_runtimes().items() if _unavailable(r) is None}


def taken_names() -> tuple[str, ...]:
    """Names of devices that the user may not give to another one."""
    return tuple(_known_devices())


def runtime_names() -> tuple[str, ...]:
    """The runtimes of this package, in the order of preference."""
    return tuple(_RUNTIMES)


def list_devices() -> list[DeviceListing]:
    """All known devices by runtime; what cannot be used says why.

    Remote ones are told from what they said when they were added: nobody is connected to.
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
            note = "numpy is not installed over there; run `pip install numpy` there"
        elif name not in versions:
            package = _package(name)
            note = f"{package} is not installed over there; run `pip install {package}` there"
        else:
            note = _unavailable(runtime) or ""  # what is built is built here
        version = None if note else versions[name]
        listings.append(
            DeviceListing(saved.name, name, version, runtime.precisions, note or processor)
        )
    return listings


def _package(runtime: str) -> str:
    """What brings the library of a runtime, the usual one."""
    from atb.devices.worker import RUNNERS

    return str(RUNNERS[runtime].distributions[0])


def _list_runtimes(device: Device) -> list[DeviceListing]:
    processor = device.platform.get("processor", "unknown processor")
    listings = [
        DeviceListing(device.name, runtime.name, runtime.version, runtime.precisions, processor)
        for runtime in device.runtimes.values()
    ]
    if device.name != "local":  # only here could a package be installed to serve more
        return listings
    for name, path in _RUNTIMES.items():
        runtime = _load(path)()
        reason = _unavailable(runtime)
        if reason is not None:
            listings.append(DeviceListing("local", name, None, runtime.precisions, reason))
    return listings


def _known_devices() -> dict[str, str]:
    foreign = {entry.name: entry.value for entry in entry_points(group=DEVICE_GROUP)}
    return {**_DEVICES, **{name: path for name, path in foreign.items() if name not in _DEVICES}}


def _unavailable(runtime: Runtime) -> str | None:
    """Why a runtime cannot be used; its version is known only where its library is installed."""
    try:
        _ = runtime.version
    except RuntimeAbsent as absent:
        return str(absent)
    return None


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
