"""Where runtimes are found by name; each is imported when it is asked for.

Another package adds one through the entry-point group `atb.runtimes`, whose entries have
the same form as the built-in ones: name -> "module:Class". This machine and remote devices serve it
like one of this package.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

from atb.devices import Artefact, RunSettings, Runtime, WorkerRuntime
from atb.devices.runtimes.library_runtime import RuntimeAbsent
from atb.errors import AtbError, InputError
from atb.models import Architecture
from atb.plugins import plugins, translate_plugin_errors

#: Entry-point group of runtimes that other packages bring.
RUNTIME_GROUP = "atb.runtimes"

# in the order of preference
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


def all_runtimes() -> dict[str, WorkerRuntime]:
    """All runtimes by name, those of this package first, whether they can be used here or not."""
    return {name: _make(name, path) for name, path in _known_runtimes().items()}


def available_runtimes() -> dict[str, WorkerRuntime]:
    """The runtimes that are installed in this environment, found without importing them."""
    return {name: r for name, r in all_runtimes().items() if unavailable(r) is None}


def runtime_names() -> tuple[str, ...]:
    """The names of all runtimes, in the order of preference."""
    return tuple(_known_runtimes())


def package_of(runtime: str) -> str:
    """What brings the library of a runtime, the usual one."""
    return all_runtimes()[runtime].distributions[0]


def find_runner(runtime: str) -> Path:
    """The file that runs the models of a runtime.

    Raises:
        InputError: There is no such runtime.
    """
    paths = _RUNTIMES if runtime in _RUNTIMES else _known_runtimes()
    if runtime not in paths:
        raise InputError(f"There is no runtime {runtime!r}: choose one of {', '.join(paths)}.")
    return _make(runtime, paths[runtime]).runner


def _known_runtimes() -> dict[str, str]:
    return {**_RUNTIMES, **{n: p for n, p in plugins(RUNTIME_GROUP).items() if n not in _RUNTIMES}}


def _make(name: str, path: str) -> WorkerRuntime:
    runtime: WorkerRuntime
    if name in _RUNTIMES:
        runtime = resolve_name(path)()
        return runtime
    try:
        with translate_plugin_errors("runtime", name, path):
            runtime = resolve_name(path)()
    except AtbError as error:
        return _BrokenRuntime(name, path, str(error))
    return runtime


class _BrokenRuntime:
    """A runtime of another package that does not load, which is told where it is asked for."""

    precisions: tuple[str, ...] = ()
    tells_operators = False

    def __init__(self, name: str, path: str, reason: str) -> None:
        self.name = name
        self.distributions = (path.partition(".")[0].partition(":")[0],)
        self._reason = reason

    @property
    def version(self) -> str:
        raise RuntimeAbsent(self._reason)

    @property
    def runner(self) -> Path:
        raise InputError(self._reason)

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        raise InputError(self._reason)


def unavailable(runtime: Runtime) -> str | None:
    """Why a runtime cannot be used; its version is known only where its library is installed."""
    try:
        _ = runtime.version
    except RuntimeAbsent as absent:
        return str(absent)
    return None
