"""What runtimes have in common whose library is a package of Python."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from atb.devices import PRECISIONS, Artefact, LaunchFailure, RunSettings
from atb.devices.runtimes.artefacts import describe_artefact
from atb.errors import InputError, install_command
from atb.files import atomic_path
from atb.models import Architecture


class RuntimeAbsent(Exception):
    """A runtime cannot be used here; its text says why, and what to install."""


class LibraryRuntime:
    """A runtime whose runner lies beside it; a subclass gives what has no default, and `write`.

    Attributes:
        name: The name by which the runtime is asked for.
        distributions: The packages that bring its library, the usual one first.
        file_name: What its artefacts are called; in braces stand `architecture`, and `settings`
            with all that decides how one is built.
        extra: Of this package, which brings the library; None for the base install, and elsewhere.
        precisions: Those that it serves.
        tells_operators: Whether its models say what each operator takes.
    """

    name: str
    distributions: tuple[str, ...]
    file_name: str
    extra: str | None = None
    precisions: tuple[str, ...] = PRECISIONS
    tells_operators = False

    @property
    def version(self) -> str:
        """Version of the installed library, read without importing it."""
        return installed_version(*self.distributions, extra=self.extra)

    @property
    def runner(self) -> Path:
        """The file `runner.py` in the folder of the class."""
        own = sys.modules[type(self).__module__].__file__
        assert own is not None
        return Path(own).resolve().with_name("runner.py")

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the timing artefact into `folder`, whole or not at all.

        Raises:
            LaunchFailure: With cause `build-error`.
        """
        path = folder / self.file_name.format(architecture=architecture, settings=settings)
        try:
            with atomic_path(path) as temporary:
                self.write(architecture, settings, temporary)
        except (InputError, OSError, MemoryError, ValueError) as error:
            detail = f"{architecture}: {error or 'not enough memory'}"
            raise LaunchFailure("build-error", detail) from error
        return describe_artefact(path)

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Write the file: `timing_weights`, `timing_sizes`, and the same bytes each time."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a file is written")


def installed_version(*distributions: str, extra: str | None = None) -> str:
    """Version of the first of these distributions that is installed.

    Args:
        distributions: Which of them bring the library, the usual one first.
        extra: Of this package, which brings it too; None where the base install does.

    Raises:
        RuntimeAbsent: None is installed.
    """
    for distribution in distributions:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    raise RuntimeAbsent(
        f"the package {distributions[0]} is not installed; run {install_command(extra)}"
    )
