"""Every error that `atb` raises for its user.

    AtbError                 something went wrong; the message says what to try
    +-- InputError           the user's input cannot be used                  exit code 2
    |   +-- BadArchitecture  an architecture that cannot exist
    |   +-- BadFile          a file that is missing, foreign, truncated, of another format
    |   +-- MissingExtra     an optional dependency is not installed
    +-- RunError             a run that began and failed; what was measured stays   exit code 1
        +-- Interrupted      Ctrl-C, where nothing can go on later           exit code 130

This module and `atb.files` are the ground floor: they import nothing of the package, and every
folder may import them.
"""

from __future__ import annotations


def install_command(extra: str | None = None) -> str:
    """How to install this package, or an extra of it, in words for a message.

    Args:
        extra: Name of the extra; None for what the base install brings.
    """
    wanted = "." if extra is None else f"'.[{extra}]'"
    return f"`pip install -e {wanted}` in the clone"


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


class MissingExtra(InputError):
    """An optional dependency is not installed."""

    def __init__(
        self, package: str, extra: str, *, wanted_for: str = "This", instead: str = ""
    ) -> None:
        """Say what to install.

        Args:
            package: The library that is missing.
            extra: Our extra that brings it.
            wanted_for: What needs it.
            instead: What to do without it; begins with "or".
        """
        super().__init__(
            f"{wanted_for} needs {package}, which is not installed: run {install_command(extra)}"
            + (f", {instead}." if instead else ".")
        )


class RunError(AtbError):
    """A run that began and failed; everything measured until then is kept."""


class Interrupted(RunError):
    """Ctrl-C in a run that no command can resume; the message tells what was known."""

    exit_code = 130
