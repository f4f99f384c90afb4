"""The runtimes of this package by name; each is imported when it is asked for."""

from __future__ import annotations

from pkgutil import resolve_name

from atb.devices import Device, Runtime
from atb.devices.runtimes.installed import RuntimeAbsent
from atb.errors import InputError

__all__ = [
    "all_runtimes",
    "available_runtimes",
    "find_runtime",
    "package_of",
    "runtime_names",
    "unavailable",
]

# what a device of this package may serve, in the order of preference
_RUNTIMES = {
    "onnxruntime": "atb.devices.runtimes.onnxruntime.cpu:OnnxRuntimeCpu",
    "onnxruntime-ort": "atb.devices.runtimes.onnxruntime.ort:OnnxRuntimeOrt",
    "onnxruntime-cuda": "atb.devices.runtimes.onnxruntime.cuda:OnnxRuntimeCuda",
    "openvino": "atb.devices.runtimes.openvino.cpu:OpenVinoCpu",
    "torch": "atb.devices.runtimes.torch.cpu:TorchCpu",
    "torch-compiled": "atb.devices.runtimes.torch.cpu:TorchCompiled",
    "litert": "atb.devices.runtimes.litert.xnnpack:LiteRtXnnpack",
    "ncnn": "atb.devices.runtimes.ncnn.cpu:NcnnCpu",
    "executorch": "atb.devices.runtimes.executorch.xnnpack:ExecuTorchXnnpack",
}


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
    if name in _RUNTIMES and (missing := unavailable(resolve_name(_RUNTIMES[name])())):
        reason = missing
    elif name in _RUNTIMES:
        reason = f"the package {package_of(name)} is not installed over there"
    wanted = "any runtime" if name is None else f"the runtime {name!r}"
    raise InputError(f"The device {device.name} cannot serve {wanted}: {reason}.")


def all_runtimes() -> dict[str, Runtime]:
    """The runtimes of this package, whether they can be used here or not."""
    return {name: resolve_name(path)() for name, path in _RUNTIMES.items()}


def available_runtimes() -> dict[str, Runtime]:
    """The runtimes that are installed in this environment, found without importing them."""
    return {name: r for name, r in all_runtimes().items() if unavailable(r) is None}


def runtime_names() -> tuple[str, ...]:
    """The runtimes of this package, in the order of preference."""
    return tuple(_RUNTIMES)


def package_of(runtime: str) -> str:
    """What brings the library of a runtime, the usual one."""
    from atb.devices.worker import RUNNERS

    return str(RUNNERS[runtime].distributions[0])


def unavailable(runtime: Runtime) -> str | None:
    """Why a runtime cannot be used; its version is known only where its library is installed."""
    try:
        _ = runtime.version
    except RuntimeAbsent as absent:
        return str(absent)
    return None
