"""What a shell offers when Tab is pressed: names that are known without heavy imports."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from atb.errors import AtbError

__all__ = [
    "architectures",
    "devices",
    "devices_and_known",
    "known_devices",
    "precisions",
    "runtimes",
    "scenarios",
    "spaces",
]


def _offer(find: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Those of the names that begin with what was typed.

    Args:
        find: Finds all names; it imports what it needs by itself.
    """

    def offer(incomplete: str) -> list[str]:
        try:
            return [name for name in find() if name.startswith(incomplete)]
        except AtbError:  # a damaged file is told by the command, not while it is typed
            return []

    return offer


def _devices() -> Iterable[str]:
    from atb.devices import device_names

    return device_names()


def _known_devices() -> Iterable[str]:
    from atb.devices import known_files

    return known_files()


def _runtimes() -> Iterable[str]:
    from atb.devices.runtimes import runtime_names

    return runtime_names()


def _spaces() -> Iterable[str]:
    from atb.models import SPACES

    return SPACES


def _architectures() -> Iterable[str]:
    from atb.models import PUBLISHED

    return PUBLISHED


def _scenarios() -> Iterable[str]:
    from atb.devices import SCENARIOS

    return SCENARIOS


devices = _offer(_devices)
known_devices = _offer(_known_devices)
devices_and_known = _offer(lambda: [*_devices(), *_known_devices()])
runtimes = _offer(_runtimes)
spaces = _offer(_spaces)
architectures = _offer(_architectures)
scenarios = _offer(_scenarios)
precisions = _offer(lambda: ("fp32", "int8"))
