"""Timing artefacts: built when first needed, shared by the launches, gone after use."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from atb.devices.artefact import describe_model, gather
from atb.devices.contract import Artefact, LaunchFailure, Runtime
from atb.devices.settings import RunSettings
from atb.errors import BadFile, RunError
from atb.profiler.subject import ModelFile, Subject

__all__ = ["ArtefactStore"]

_PREFIX = "atb-artefacts-"


class ArtefactStore:
    """A temporary folder of timing artefacts; a context manager that deletes it when left."""

    def __init__(self, runtime: Runtime, settings: RunSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._folder: Path | None = None
        self._built: dict[Subject, Artefact] = {}

    def __enter__(self) -> Self:
        _sweep(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

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


def _sweep(folder: Path) -> None:
    """Delete what killed processes left behind."""
    for left in folder.glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True
