"""What runtimes built, kept under a size limit for the next time; the least recently used goes.

An artefact is found by what its bytes depend on (`artefact_key`), and is handed out only if its
content still has the hash that stands in its name. Every entry is one file that appears whole, by
a rename, so that processes may share the folder, be killed, and evict what others are reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from atb.devices import Artefact, RunSettings, Runtime, cache_folder
from atb.devices.runtimes.artefact_key import artefact_key
from atb.files import atomic_path
from atb.models import Architecture

__all__ = [
    "ArtefactCache",
    "CachedRuntime",
    "default_folder",
    "worth_keeping",
]

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
        folder: Made when first written to; files of others in it are left alone.
        limit_bytes: What all entries together may take.
        tell: Is told, once, why nothing can be kept.
    """

    def __init__(self, folder: Path, limit_bytes: int, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._tell = tell
        self._writable = True

    def fetch(self, key: str, folder: Path) -> Artefact | None:
        """Copy the artefact of a key into `folder`, under the name that it was built with.

        A copy, not a link: what writes into an artefact would write into the cache and into
        what others use just then. What is worth keeping takes many times as long to build as to
        copy.

        Returns:
            The copy; None where there is no whole one, or `folder` cannot be written.
        """
        for entry in self._folder.glob(f"{key}-*"):
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
        if not self._writable or artefact.size_bytes > self._limit_bytes:
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

    @property
    def name(self) -> str:
        """That of the runtime."""
        return self._runtime.name

    @property
    def version(self) -> str:
        """That of the runtime."""
        return self._runtime.version

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those of the runtime."""
        return self._runtime.precisions

    @property
    def load_patience_seconds(self) -> float:
        """That of a runtime whose models take minutes to load; else none."""
        return float(getattr(self._runtime, "load_patience_seconds", 0.0))

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
