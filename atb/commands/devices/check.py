"""`atb devices check`: whether a device computes what it should."""

from __future__ import annotations

import typer

from atb.commands.arguments import Json, Precision, RuntimeName, TargetOptions
from atb.commands.devices.known import DeviceArgument
from atb.commands.output import print_result, print_status


def check(
    device: DeviceArgument = "local",
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    json: Json = False,
) -> None:
    """Run a small model on a device and compare its output with the reference.

    Example:
        atb devices check pi4 --precision int8
    """
    from atb.devices.runtimes import check_device

    options = TargetOptions(device=device, runtime=runtime, precision=precision)
    target = options.find(cache=None)
    result = check_device(target.device, target.runtime, target.settings)
    print_result(
        {
            "device": target.device.name,
            "runtime": target.runtime.name,
            "precision": precision,
            "passed": result.passed,
            "max_difference": result.max_difference,
            "bound": result.bound,
            "providers": list(result.providers),
        },
        f"{target.runtime.name} {target.runtime.version} {precision} on {target.device.name}: "
        f"output differs from the reference by {result.max_difference:.2g} at most "
        f"(allowed {result.bound:.2g}), run by {', '.join(result.providers)}",
        json=json,
    )
    if not result.passed:
        print_status("The device computes something else: do not trust latencies measured on it.")
        raise typer.Exit(1)
