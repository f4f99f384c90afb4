"""`atb devices show`: the facts of a device and its state."""

from __future__ import annotations

from atb.commands.arguments import Json
from atb.commands.devices.known import DeviceArgument, conditions_table
from atb.commands.output import Table, print_result


def show(device: DeviceArgument = "local", json: Json = False) -> None:
    """Show the facts of a device and its state now; of a known one, how well it is predicted.

    Example:
        atb devices show local
    """
    from atb.devices import device_names, find_device, find_known_file

    if device not in device_names() and find_known_file(device) is not None:
        _show_known(device, json=json)
        return
    found = find_device(device)
    platform, state = dict(found.platform), dict(found.state())
    now = [(name, "unavailable" if value is None else str(value)) for name, value in state.items()]
    print_result(
        {"device": found.name, "platform": platform, "state": state},
        Table(("fact", "value"), list(platform.items()), left=(0, 1)),
        Table(("state now", "value"), now, left=(0, 1)),
        json=json,
    )


def _show_known(name: str, *, json: bool) -> None:
    from atb.predictor.known_devices import find_known_device

    known = find_known_device(name)
    print_result(
        {"known_device": known.to_json()},
        Table(("fact", "value"), list(known.platform.items()), left=(0, 1)),
        conditions_table(known),
        json=json,
    )
