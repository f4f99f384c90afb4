"""Groups of CPUs that are equally fast; threads belong into one of them.

This file is also sent, as it is, to remote devices: standard library only, and Python 3.9.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

#: CPUs of one kind may differ by so much, since the best specimens are allowed a little more.
_ALIKE = 0.1


def cpu_clusters(root: Path = Path("/")) -> tuple[tuple[int, ...], ...]:
    """Logical CPUs that are online, grouped by speed, the fastest group first.

    ARM kernels tell a capacity, which sees slower designs at the same frequency; others tell the
    highest frequency. Where some CPU tells neither, all of them are one group.

    Args:
        root: Where `sys` is; another one for tests.
    """
    folder = root / "sys/devices/system/cpu"
    cpus = _online(folder)
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        speeds = {cpu: _number(folder / f"cpu{cpu}" / name) for cpu in cpus}
        told = {cpu: speed for cpu, speed in speeds.items() if speed is not None}
        if told and len(told) == len(cpus):
            return _group(told)
    return (tuple(cpus),)


def within(
    clusters: Iterable[Iterable[int]], usable: Iterable[int] | None
) -> tuple[tuple[int, ...], ...]:
    """What is left of clusters for a process that may use some of the CPUs.

    Args:
        clusters: Groups of logical CPUs, the fastest group first.
        usable: Those that it may use; None for all.
    """
    allowed = None if usable is None else set(usable)
    kept = (tuple(c for c in group if allowed is None or c in allowed) for group in clusters)
    return tuple(group for group in kept if group)


def _group(speeds: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    groups: list[list[int]] = []
    for cpu in sorted(speeds, key=lambda cpu: (-speeds[cpu], cpu)):
        if groups and speeds[cpu] >= (1 - _ALIKE) * speeds[groups[-1][0]]:
            groups[-1].append(cpu)
        else:
            groups.append([cpu])
    return tuple(tuple(sorted(group)) for group in groups)


def _online(folder: Path) -> list[int]:
    """CPUs from the kernel's list, such as `0-3,6`."""
    try:
        ranges = (folder / "online").read_text("ascii").strip().split(",")
        ends = [part.partition("-") for part in ranges]
        return [cpu for low, _, high in ends for cpu in range(int(low), int(high or low) + 1)]
    except (OSError, ValueError):
        return list(range(os.cpu_count() or 1))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
