"""Every error that `atb` raises for its user.

    AtbError                 something went wrong; the message says what to try
    +-- InputError           the user's input cannot be used                  exit code 2
    |   +-- BadArchitecture  an architecture that cannot exist
    |   +-- BadFile          a file that is missing, foreign, truncated, of another format
    +-- RunError             a run that began and failed; what was measured stays   exit code 1
        +-- MissingExtra     an optional dependency is not installed
        +-- Interrupted      Ctrl-C, where nothing can go on later           exit code 130

This module and `atb.files` are the ground floor: they import nothing of the package, and every
folder may import them.
"""

from __future__ import annotations

__all__ = [
    "AtbError",
    "BadArchitecture",
    "BadFile",
    "InputError",
    "Interrupted",
    "MissingExtra",
    "RunError",
]


class AtbError(Exception):
    """Base of all errors; its text is one sentence: what came, what was wanted, what to try."""

    exit_code = 1


class InputError(AtbError, ValueError):
    """The user's input cannot be used; nothing was written."""

    exit_code = 2


class BadArchitecture(InputError):
    """An architecture that cannot exist, or text that does not describe one."""


class BadFile(InputError):
    """A file that is missing, foreign, truncated, corrupted or of another format."""


class RunError(AtbError):
    """A run that began and failed; everything measured until then is kept."""


class MissingExtra(RunError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs {package}, which is not installed: run `pip install -e '.[{extra}]'` in "
            f"the clone, or `pip install 'autotinybert[{extra}]'`."
        )


class Interrupted(RunError):
    """Ctrl-C in a run that no command can resume; the message tells what was known."""

    exit_code = 130
