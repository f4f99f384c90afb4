"""Timing artefacts: built when first needed, shared by the launches, gone after use."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from atb.devices.contract import Artefact, Runtime
from atb.devices.settings import RunSettings
from atb.errors import RunError
from atb.models.architecture import Architecture

__all__ = ["ArtefactStore"]

_PREFIX = "atb-artefacts-"


class ArtefactStore:
    """A temporary folder of timing artefacts; a context manager that deletes it when left."""

    def __init__(self, runtime: Runtime, settings: RunSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._folder: Path | None = None
        self._built: dict[Architecture, Artefact] = {}

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

    def get(self, architecture: Architecture) -> Artefact:
        """The artefact of an architecture, built now if it is not there.

        Raises:
            LaunchFailure: With cause `build-error`.
            RunError: The temporary folder cannot be written.
        """
        assert self._folder is not None
        if architecture not in self._built:
            folder = self._folder / str(architecture)
            try:
                folder.mkdir(exist_ok=True)
                built = self._runtime.build(architecture, self._settings, folder)
            except OSError as error:
                raise RunError(
                    f"Cannot write timing artefacts to {folder} ({error.strerror}): "
                    "free some space, or point TMPDIR at another disk."
                ) from error
            self._built[architecture] = built
        return self._built[architecture]

    def drop(self, architecture: Architecture) -> None:
        """Delete an artefact; it would be built again."""
        assert self._folder is not None
        if self._built.pop(architecture, None) is not None:
            shutil.rmtree(self._folder / str(architecture), ignore_errors=True)


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
