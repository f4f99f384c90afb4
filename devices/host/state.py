"""The state of a Linux machine: readings that change and that a latency may depend on.

All of them together take a millisecond or two, so they are taken between blocks and never within
one; each is None where the machine does not tell. This file is also sent, as it is, to remote
devices: standard library only, and Python 3.9.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Readings = tuple[Any, ...]
_JOULES_PER_MICROWATTHOUR = 3.6e-3


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None


def _numbers(paths: list[Path]) -> list[int]:
    texts = (_read(path) for path in paths)
    return [int(text) for text in texts if text and text.lstrip("-").isdigit()]


def _words_after(path: Path, label: str) -> list[str] | None:
    """The words of the first line that begins with the word `label`."""
    for line in (_read(path) or "").splitlines():
        first, *rest = line.split()
        if first == label:
            return rest
    return None


def _load(root: Path) -> Readings:
    """Load average, and tasks that run or wait for a CPU now, this one included."""
    words = (_read(root / "proc/loadavg") or "").split()
    return float(words[0]), int(words[3].split("/")[0])


def _governor(root: Path) -> str | None:
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    governors = {text for file in files if (text := _read(file))}
    return ",".join(sorted(governors)) or None


def _frequencies(root: Path) -> Readings:
    """Mean, least and most over the CPUs; the kernel tells kilohertz."""
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    hertz = [1e3 * kilohertz for kilohertz in _numbers(files)]
    return (sum(hertz) / len(hertz), min(hertz), max(hertz)) if hertz else (None,) * 3


def _temperature(root: Path) -> float | None:
    """Hottest zone; the kernel tells thousandths of a degree."""
    thousandths = _numbers(sorted(root.glob("sys/class/thermal/thermal_zone*/temp")))
    return max(thousandths) / 1e3 if thousandths else None


def _thermal_throttles(root: Path) -> int | None:
    files = sorted(
        root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    )
    counts = _numbers(files)
    return sum(counts) if counts else None


def _cooling(root: Path) -> int | None:
    """By how many steps the kernel holds CPUs down for their heat, over all of them."""
    steps = [
        int(step)
        for device in root.glob("sys/class/thermal/cooling_device*")
        if "cpufreq" in (kind := _read(device / "type") or "") or kind == "Processor"
        if (step := _read(device / "cur_state"))
    ]
    return sum(steps) if steps else None


def _firmware_throttled(root: Path) -> str | None:
    """Flags of a Raspberry Pi: low voltage, capped, throttled, now and since it began."""
    return _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled")


def _quota_throttles(root: Path) -> int | None:
    """Periods in which a container's CPU quota ran out (control groups 2, then 1)."""
    for name in ("sys/fs/cgroup/cpu.stat", "sys/fs/cgroup/cpu/cpu.stat"):
        words = _words_after(root / name, "nr_throttled")
        if words:
            return int(words[0])
    return None


def _usable_cpus(root: Path) -> float | None:
    """How many CPUs this process may run on at a time; a container's quota may allow a part."""
    words = _words_after(root / "proc/self/status", "Cpus_allowed_list:")
    if not words:
        return None
    ends = [part.partition("-") for part in words[0].split(",")]
    cpus = float(sum(int(high or low) - int(low) + 1 for low, _, high in ends))
    quota = _cpu_quota(root)
    return cpus if quota is None else min(cpus, quota)


def _cpu_quota(root: Path) -> float | None:
    """CPUs that a container's quota allows on average (control groups 2, then 1)."""
    folder = root / "sys/fs/cgroup"
    words = (_read(folder / "cpu.max") or "").split()
    if len(words) != 2:
        old = (_read(folder / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        words = [word for word in old if word]
    if len(words) != 2 or words[0] in ("max", "-1"):
        return None
    return int(words[0]) / int(words[1])


def _share_waiting(path: Path) -> float | None:
    """Share of the last ten seconds in which some task waited for a CPU."""
    for word in _words_after(path, "some") or []:
        if word.startswith("avg10="):
            return float(word.removeprefix("avg10=")) / 100
    return None


def _pressure(root: Path) -> float | None:
    return _share_waiting(root / "proc/pressure/cpu")


def _group_pressure(root: Path) -> float | None:
    """The same of the tasks of our own control group (version 2)."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        if line.startswith("0::/"):
            group = line.removeprefix("0::/")
            mounts = (root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified")
            shares = (_share_waiting(mount / group / "cpu.pressure") for mount in mounts)
            return next((share for share in shares if share is not None), None)
    return None


def _system(root: Path) -> Readings:
    """Time that the host took from this guest, and context switches of all tasks, since boot."""
    path = root / "proc/stat"
    words, switches = _words_after(path, "cpu"), _words_after(path, "ctxt")
    return (
        # the eighth number is steal
        int(words[7]) / os.sysconf("SC_CLK_TCK") if words and len(words) > 7 else None,
        int(switches[0]) if switches else None,
    )


def _memory(root: Path) -> int | None:
    """What may still be used; a container's limit may leave less than the machine has."""
    words = _words_after(root / "proc/meminfo", "MemAvailable:")
    told = [_container_memory(root)] + ([1024 * int(words[0])] if words else [])
    return min((left for left in told if left is not None), default=None)


def _container_memory(root: Path) -> int | None:
    """What a container's limit leaves, with cached files, which make room (control groups 2, 1)."""
    folder = root / "sys/fs/cgroup"
    names = (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    )
    for limit, usage, counts, cached in names:
        numbers = _numbers([folder / limit, folder / usage])  # a limit may be the word `max`
        if len(numbers) == 2:
            files = _words_after(folder / counts, cached)
            return max(0, numbers[0] - numbers[1] + (int(files[0]) if files else 0))
    return None


def _energy(root: Path) -> Readings:
    """What the processor packages have used, and after how much a package begins at zero again."""
    used, ranges = [], []
    for zone in sorted(root.glob("sys/class/powercap/intel-rapl:*")):
        # parts of a package stand beside it, as `:0:1`, and the whole board as `psys`
        if zone.name.count(":") == 1 and (_read(zone / "name") or "package").startswith("package"):
            used += _numbers([zone / "energy_uj"])
            ranges += _numbers([zone / "max_energy_range_uj"])
    if not used:
        return None, None
    return sum(used) / 1e6, max(ranges) / 1e6 if ranges else None


def _battery(root: Path) -> Readings:
    """Energy left in the batteries, what they say they do, and whether a charger is connected.

    Where a battery tells charge alone it is multiplied by the voltage that it is built for: the
    voltage of the moment sinks under load, by more than what is used meanwhile.
    """
    joules, states, chargers = [], [], []
    for supply in sorted(root.glob("sys/class/power_supply/*")):
        if _read(supply / "scope") == "Device":
            continue  # of a mouse or a pen
        if _read(supply / "type") == "Battery":
            energy, charge = (_numbers([supply / name]) for name in ("energy_now", "charge_now"))
            voltage = _numbers([supply / "voltage_min_design", supply / "voltage_now"])
            if energy:
                joules.append(_JOULES_PER_MICROWATTHOUR * energy[0])
            elif charge and voltage:  # microampere hours and microvolts
                joules.append(_JOULES_PER_MICROWATTHOUR * charge[0] * voltage[0] / 1e6)
            states.append(_read(supply / "status"))
        else:
            chargers += _numbers([supply / "online"])
    return (
        sum(joules) if joules else None,
        ",".join(state for state in states if state) or None,
        ("connected" if any(chargers) else "absent") if chargers else None,
    )


#: What reads which fields; each of several answers with a tuple.
PROBES: Mapping[tuple[str, ...], Callable[[Path], Any]] = {
    ("load_average_1min", "running_tasks"): _load,
    ("governor",): _governor,
    ("frequency_hertz", "frequency_lowest_hertz", "frequency_highest_hertz"): _frequencies,
    ("temperature_celsius",): _temperature,
    ("thermal_throttles",): _thermal_throttles,
    ("cooling_steps",): _cooling,
    ("firmware_throttled",): _firmware_throttled,
    ("quota_throttles",): _quota_throttles,
    ("usable_cpus",): _usable_cpus,
    ("cpu_pressure_10s",): _pressure,
    ("group_cpu_pressure_10s",): _group_pressure,
    ("steal_seconds", "context_switches"): _system,
    ("memory_available_bytes",): _memory,
    ("energy_joules", "energy_range_joules"): _energy,
    ("battery_joules", "battery_state", "charger"): _battery,
}

#: Names of the readings; counters (`..._throttles`, `steal_seconds`, `context_switches`,
#: `energy_joules`) only ever grow. `library_builds` is told by the worker once one has run.
STATE_FIELDS = (*(name for names in PROBES for name in names), "library_builds")


def read_state(root: Path = Path("/")) -> dict[str, Any]:
    """All readings of `STATE_FIELDS`.

    Args:
        root: Where `proc` and `sys` are; another one for tests.
    """
    readings: dict[str, Any] = dict.fromkeys(STATE_FIELDS)
    for names, probe in PROBES.items():
        # a kernel that writes it otherwise does not tell it
        with contextlib.suppress(ValueError, IndexError, ZeroDivisionError):
            found = probe(root)
            values = found if len(names) > 1 else (found,)
            readings.update(zip(names, values))  # noqa: B905 - Python 3.9 is not strict
    return readings


def memory_kills(root: Path = Path("/")) -> int | None:
    """How many processes the kernel has killed for want of memory, where it tells."""
    words = _words_after(root / "proc/vmstat", "oom_kill")
    return int(words[0]) if words else None


def energy_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    """Joules that a counter counted between two states; None where there is none.

    A package's counter begins again at zero within minutes or hours; what lies between the states
    must use less than it counts.
    """
    begin, end = before.get("energy_joules"), after.get("energy_joules")
    if begin is None or end is None:
        return None
    used = float(end - begin)
    turn = after.get("energy_range_joules")
    while used < 0 and turn:
        used += turn
    return used if used >= 0 else None
