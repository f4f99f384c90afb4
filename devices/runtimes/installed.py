"""Which version of a runtime's library is installed, read without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from atb.errors import install_command

__all__ = ["RuntimeAbsent", "installed_version"]


class RuntimeAbsent(Exception):
    """A runtime cannot be used here; its text says why, and what to install."""


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
