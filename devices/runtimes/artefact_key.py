"""What the bytes of an artefact depend on, as a key under which it can be kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from atb import devices, models
from atb.devices import RunSettings, Runtime
from atb.devices.host import read_platform
from atb.models import Architecture

__all__ = ["LIBRARIES", "artefact_key"]

_FORMAT = 1  # of keys; what was kept under those of another one is not found, and goes in its turn

#: Settings that say how an artefact is run; every other one may decide how it is built.
_OF_THE_RUN = frozenset(("threads", "affinity", "scenario", "interval_seconds", "streams"))
#: Distributions whose versions may show in the bytes of what our runtimes build.
LIBRARIES = (
    "ai-edge-litert",
    "executorch",
    "flatbuffers",
    "ncnn",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "protobuf",
    "safetensors",
    "torch",
    "torchao",
)
_OF_THE_PROCESSOR = ("processor", "architecture", "instruction_sets", "system")
#: Characters of a key, as many as tell any two apart.
_KEY_CHARACTERS = 32


def artefact_key(runtime: Runtime, architecture: Architecture, settings: RunSettings) -> str:
    """Hash of everything that the bytes of an artefact may depend on.

    Besides what is asked for: the versions of the libraries, our own code, which is all that
    writes the graphs, and this processor, for which some compile. Rather too much than too little:
    what is built once too often costs seconds, a stale artefact a wrong number.
    """
    known = {
        "format": _FORMAT,
        "runtime": runtime.name,
        "version": runtime.version,
        "architecture": str(architecture),
        "settings": {k: v for k, v in settings.to_json().items() if k not in _OF_THE_RUN},
        "libraries": _library_versions(),
        "code": _code_fingerprint(type(runtime).__module__),
        "platform": _build_platform(),
    }
    text = json.dumps(known, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_CHARACTERS]


@cache
def _library_versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = dict.fromkeys(LIBRARIES)
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


@cache
def _code_fingerprint(module: str) -> str:
    """Hash of the code that builds: all of devices/ and models/, and the runtime's own package.

    What only runs or reaches devices is in it too: an artefact that is built once too often costs
    seconds.
    """
    digest = hashlib.sha256()
    for path in (*_sources(devices), *_sources(models), *_own_sources(sys.modules[module])):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _own_sources(module: ModuleType) -> list[Path]:
    """The file of a module, and those beside and below it if it belongs to a package."""
    own = getattr(module, "__file__", None)
    if own is None or module.__name__.startswith(f"{devices.__name__}."):
        return []
    return sorted(Path(own).parent.rglob("*.py")) if module.__package__ else [Path(own)]


def _sources(package: ModuleType) -> list[Path]:
    """The Python files of a package, those of its subfolders too."""
    return sorted(Path(next(iter(package.__path__))).rglob("*.py"))


@cache
def _build_platform() -> dict[str, str]:
    platform = read_platform()
    return {name: platform[name] for name in _OF_THE_PROCESSOR}
