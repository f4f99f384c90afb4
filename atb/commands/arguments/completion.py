"""What a shell offers when Tab is pressed: names that are known without heavy imports."""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name

from atb.errors import AtbError


def _offer(*sources: str, fixed: tuple[str, ...] = ()) -> Callable[[str], list[str]]:
    """Those names that begin with what was typed.

    Args:
        sources: What holds or finds the names, such as `atb.models:SPACES`; imported when asked.
        fixed: Further names.
    """

    def offer(incomplete: str) -> list[str]:
        try:
            found = [resolve_name(source) for source in sources]
            names = [*fixed, *(n for one in found for n in (one() if callable(one) else one))]
        except AtbError:  # a damaged file is told by the command, not while it is typed
            return []
        return [name for name in names if name.startswith(incomplete)]

    return offer


devices = _offer("atb.devices:device_names")
known_devices = _offer("atb.devices:known_files")
devices_and_known = _offer("atb.devices:device_names", "atb.devices:known_files")
runtimes = _offer("atb.devices.runtimes:runtime_names")
spaces = _offer("atb.models:SPACES")
architectures = _offer("atb.models:PUBLISHED")
scenarios = _offer("atb.devices:SCENARIOS")
precisions = _offer(fixed=("fp32", "int8"))
