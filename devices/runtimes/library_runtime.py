"""What runtimes have in common whose library is a package of Python."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from atb.devices import PRECISIONS, LaunchFailure
from atb.devices.runtimes.installed import installed_version
from atb.errors import InputError
from atb.models import Architecture

__all__ = ["LibraryRuntime", "translate_build_errors"]


class LibraryRuntime:
    """A runtime whose runner lies beside it; a subclass gives `name`, `distributions` and `build`.

    Attributes:
        name: The name by which the runtime is asked for.
        distributions: The packages that bring its library, the usual one first.
        extra: Of this package, which brings the library; None for the base install, and elsewhere.
        precisions: Those that it serves.
        tells_operators: Whether its models say what each operator takes.
    """

    name: str
    distributions: tuple[str, ...]
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


@contextlib.contextmanager
def translate_build_errors(architecture: Architecture) -> Iterator[None]:
    """Say of an architecture that it cannot be built.

    Raises:
        LaunchFailure: With cause `build-error`, in place of what is raised within.
    """
    try:
        yield
    except (InputError, OSError, MemoryError, ValueError) as error:
        detail = f"{architecture}: {error or 'not enough memory'}"
        raise LaunchFailure("build-error", detail) from error
