"""Artefacts: described, known by a key of all that their bytes depend on, kept for the next time.

What runtimes built is kept under a size limit; the least recently used goes. An artefact is found
by `artefact_key`, and is handed out only if its content still has the hash that stands in its name.
Every entry is one file that appears whole, by a rename, so that processes may share the folder, be
killed, and evict what others are reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from atb import devices, models
from atb.devices import Artefact, ArtefactFile, RunSettings, Runtime, cache_folder
from atb.devices.host import read_platform
from atb.files import atomic_path
from atb.models import Architecture, data_files


def describe_artefact(path: Path) -> Artefact:
    """Hash and measure a file that is a whole model, as all that we build are."""
    return Artefact(path=path, sha256=_hash(path), size_bytes=path.stat().st_size)


def describe_model(path: Path) -> Artefact:
    """Hash and measure a user's own model with all files that belong to it.

    Raises:
        OSError: One of them cannot be read.
        BadFile: One of them is missing or is not what the graph says.
    """
    whole = describe_artefact(path)
    data = tuple(
        ArtefactFile(file.location, file.path, _hash(file.path), file.path.stat().st_size)
        for file in data_files(path)
    )
    if not data:
        return whole
    hashes = [whole.sha256, *([file.location, file.sha256] for file in data)]
    return Artefact(
        path,
        sha256=hashlib.sha256(json.dumps(hashes).encode()).hexdigest(),
        size_bytes=whole.size_bytes + sum(file.size_bytes for file in data),
        data=data,
    )


def gather(artefact: Artefact, folder: Path) -> Artefact:
    """Let the files of a model lie where the graph says, without links.

    Runtimes and `onnx` refuse weights that a link leads to outside of the graph's folder. Where
    they lie as they should nothing is done; else they are put into `folder`, as further names of
    the same files where the file system can do that.

    Raises:
        OSError: The folder cannot be written.
    """
    real = artefact.path.resolve().parent
    if all(file.path.resolve() == real / file.location for file in artefact.data):
        return artefact
    path = folder / artefact.path.name
    _place(artefact.path, path)
    data = []
    for file in artefact.data:
        target = folder / file.location
        _place(file.path, target)
        data.append(ArtefactFile(file.location, target, file.sha256, file.size_bytes))
    return Artefact(path, artefact.sha256, artefact.size_bytes, tuple(data))


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    with contextlib.suppress(OSError):  # another file system, or one without links
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


#: Where the folder is, if not where caches usually are.
FOLDER_VARIABLE = "ATB_CACHE"

#: An entry's name: key, hash of the content, and the name that the runtime gave.
_ENTRY = re.compile(r"[0-9a-f]{32}-(?P<sha256>[0-9a-f]{64})-(?P<name>.+)")
#: What `atomic_path` calls an entry that is being written.
_UNFINISHED = re.compile(rf"\.{_ENTRY.pattern}")
_LONGEST_WRITE_SECONDS = 3600.0

# A place in the cache costs a file's handling and its bytes; both are taken as time of building.
_LEAST_SECONDS = 0.1
_BYTES_PER_SECOND = 20e6
_CHUNK_BYTES = 1 << 20


class ArtefactCache:
    """A folder of artefacts.

    Nothing of it fails: what cannot be read is not there, and what cannot be written is not kept,
    which is told once.

    Args:
        folder: Made when first written to; files of others in it are left alone. None for the
            user's own, see `default_folder`, without which nothing is kept.
        limit_bytes: What all entries together may take.
        tell: Is told, once, why nothing can be kept.
    """

    def __init__(self, folder: Path | None, limit_bytes: int, tell: Callable[[str], None]) -> None:
        self._given_folder = folder
        self._limit_bytes = limit_bytes
        self._tell = tell
        self._writable = True

    @cached_property
    def _folder(self) -> Path | None:
        return self._given_folder or default_folder()

    def fetch(self, key: str, folder: Path) -> Artefact | None:
        """Copy the artefact of a key into `folder`, under the name that it was built with.

        A copy, not a link: what writes into an artefact would write into the cache and into
        what others use just then. What is worth keeping takes many times as long to build as to
        copy.

        Returns:
            The copy; None where there is no whole one, or `folder` cannot be written.
        """
        for entry in self._folder.glob(f"{key}-*") if self._folder else ():
            named = _ENTRY.fullmatch(entry.name)
            found = named and _hand_out(entry, named["sha256"], folder / named["name"])
            if found is not None:
                with contextlib.suppress(OSError):  # a folder of another user may be read-only
                    _touch(entry)
                    self._make_room(0)  # the limit may be lower than the last time
                return found
        return None

    def keep(self, key: str, artefact: Artefact) -> None:
        """Copy an artefact into the cache; one that is larger than the limit is not kept."""
        if not (self._folder and self._writable) or artefact.size_bytes > self._limit_bytes:
            return
        entry = self._folder / f"{key}-{artefact.sha256}-{artefact.path.name}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(artefact.size_bytes)
            with atomic_path(entry) as temporary:
                _copy(artefact.path, temporary)
            with contextlib.suppress(FileNotFoundError):  # evicted by another process
                _touch(entry)
        except OSError as error:
            self._writable = False
            reason = error.strerror or error
            self._tell(
                f"What runtimes build is not kept in {self._folder} ({reason}): free some space, "
                f"or point {FOLDER_VARIABLE} at another folder."
            )

    def _make_room(self, size_bytes: int) -> None:
        """Delete entries, the least recently used first, until there is so much room."""
        found = sorted(self._entries())
        total_bytes = sum(size for _, _, size in found)
        for _, entry, size in found:
            if total_bytes + size_bytes <= self._limit_bytes:
                return
            entry.unlink(missing_ok=True)
            total_bytes -= size

    def _entries(self) -> Iterator[tuple[int, Path, int]]:
        """When each was last used, where it is and its bytes; what a killed process left goes."""
        assert self._folder is not None
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # evicted by another process
                status = path.stat()
                if _ENTRY.fullmatch(path.name):
                    yield status.st_mtime_ns, path, status.st_size
                elif (
                    _UNFINISHED.fullmatch(path.name)
                    and time.time() - status.st_mtime > _LONGEST_WRITE_SECONDS
                ):
                    path.unlink()


class CachedRuntime:
    """A runtime that builds nothing again that a cache still has.

    Args:
        runtime: The runtime that builds what is not in the cache.
        cache: Where it is kept.
        worth: Whether what took so many seconds and has so many bytes is kept.
    """

    def __init__(
        self,
        runtime: Runtime,
        cache: ArtefactCache,
        worth: Callable[[float, int], bool] | None = None,
    ) -> None:
        self._runtime = runtime
        self._cache = cache
        self._worth = worth or worth_keeping
        self.name = runtime.name
        self.precisions = runtime.precisions
        self.load_patience_seconds = float(getattr(runtime, "load_patience_seconds", 0.0))

    @property
    def version(self) -> str:
        """That of the runtime."""
        return self._runtime.version

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Put the artefact into `folder`, from the cache or built now."""
        key = artefact_key(self._runtime, architecture, settings)
        found = self._cache.fetch(key, folder)
        if found is not None:
            return found
        begun = time.perf_counter()
        artefact = self._runtime.build(architecture, settings, folder)
        if self._worth(time.perf_counter() - begun, artefact.size_bytes):
            self._cache.keep(key, artefact)
        return artefact


def worth_keeping(build_seconds: float, size_bytes: int) -> bool:
    """Whether building took long for the space that an artefact takes.

    A campaign goes through its architectures one after the other, and the least recently used go:
    of graphs that are written in a moment, two hundred would push out what took minutes, and not
    be there themselves when the campaign comes round again. So what is built at more than 20 MB a
    second (float32 graphs of onnxruntime) is left out, and 2 GB stand for minutes of work at least.
    """
    return build_seconds >= _LEAST_SECONDS + size_bytes / _BYTES_PER_SECOND


def default_folder() -> Path | None:
    """Where artefacts are kept; None for a user without a home.

    ATB_CACHE names it; else it lies below XDG_CACHE_HOME, or below ~/.cache.
    """
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own)
    caches = cache_folder()
    return None if caches is None else caches / "artefacts"


class _Damaged(Exception):
    """An entry is not what its name says."""


def _hand_out(entry: Path, sha256: str, target: Path) -> Artefact | None:
    """Copy an entry to `target` if it is what its name says; delete it if not."""
    try:
        with atomic_path(target) as temporary:
            if _copy(entry, temporary) != sha256:
                raise _Damaged
        return Artefact(target, sha256, target.stat().st_size)
    except _Damaged:
        with contextlib.suppress(OSError):
            entry.unlink()
    except OSError:
        pass  # gone meanwhile, or no place for the copy, which building it will tell
    return None


def _copy(source: Path, target: Path) -> str:
    """Copy a file and hash what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _touch(entry: Path) -> None:
    """Note that it was used now, finer than a file system's own clock."""
    now = time.time_ns()
    os.utime(entry, ns=(now, now))
