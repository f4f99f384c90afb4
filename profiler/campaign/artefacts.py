"""Timing artefacts: built when first needed, shared by the launches, gone after use."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Self

from atb.devices import Artefact, LaunchFailure, RunSettings, Runtime
from atb.devices.runtimes import describe_model, gather
from atb.errors import BadFile, RunError
from atb.files import release, take
from atb.profiler import ModelFile, Subject

__all__ = ["ArtefactStore"]

_PREFIX = "atb-artefacts-"


class ArtefactStore:
    """A temporary folder of timing artefacts; a context manager that deletes it when left."""

    def __init__(self, runtime: Runtime, settings: RunSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._folder: Path | None = None
        self._lock: int | None = None
        self._built: dict[Subject, Artefact] = {}

    def __enter__(self) -> Self:
        parent = Path(tempfile.gettempdir())
        _sweep(parent)
        self._folder, self._lock = _make_folder(parent)
        return self

    def __exit__(self, *error: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._lock is not None:
                release(_lock_of(self._folder), self._lock)

    def get(self, subject: Subject) -> Artefact:
        """The artefact of a subject, built now if it is not there; a user's own model is one.

        Raises:
            LaunchFailure: With cause `build-error`.
            RunError: The temporary folder cannot be written.
        """
        assert self._folder is not None
        if subject not in self._built:
            folder = self._folder / _folder_name(subject)
            try:
                if isinstance(subject, ModelFile):
                    self._built[subject] = gather(_found(subject), folder)
                else:
                    folder.mkdir(exist_ok=True)
                    self._built[subject] = self._runtime.build(subject, self._settings, folder)
            except OSError as error:
                raise RunError(
                    f"Cannot write timing artefacts to {folder} ({error.strerror}): "
                    "free some space, or point TMPDIR at another disk."
                ) from error
        return self._built[subject]

    def drop(self, subject: Subject) -> None:
        """Delete an artefact; it would be built again."""
        assert self._folder is not None
        if self._built.pop(subject, None) is not None:
            shutil.rmtree(self._folder / _folder_name(subject), ignore_errors=True)


def _folder_name(subject: Subject) -> str:
    """The name of a user's file may already be as long as names can be."""
    return subject.sha256 if isinstance(subject, ModelFile) else str(subject)


def _found(model: ModelFile) -> Artefact:
    """A user's own file as it lies there; the campaign was opened for this very content."""
    try:
        assert model.path is not None
        artefact = describe_model(model.path)
    except OSError as error:
        raise LaunchFailure("build-error", f"{model.path}: {error.strerror}") from error
    except BadFile as error:
        raise LaunchFailure("build-error", str(error)) from error
    if not artefact.sha256.startswith(model.sha256):
        raise LaunchFailure("build-error", f"{model.path} has changed since the campaign began")
    return artefact


def _make_folder(parent: Path) -> tuple[Path, int | None]:
    """A folder that nobody sweeps while this process lives, and the descriptor of its lock.

    Raises:
        OSError: It cannot be made.
    """
    descriptor = None
    while descriptor is None:  # another one may sweep a lock before it is had
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}"
        try:
            descriptor = take(_lock_of(folder))
        except OSError:  # a file system that knows no locks; without one nobody sweeps the folder
            _lock_of(folder).unlink(missing_ok=True)
            break
    folder.mkdir(mode=0o700)
    return folder, descriptor


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _sweep(parent: Path) -> None:
    """Delete what killed processes left behind: folders whose lock nobody has."""
    for lock in parent.glob(f"{_PREFIX}*.lock"):
        with contextlib.suppress(OSError):  # somebody else's
            descriptor = take(lock)
            if descriptor is not None:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                release(lock, descriptor)
