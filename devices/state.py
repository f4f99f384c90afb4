"""The state of a Linux machine: readings that change and that a latency may depend on.

Each reading takes microseconds and is None where the machine does not tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["STATE_FIELDS", "read_state"]


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


def _load_average(root: Path) -> float | None:
    text = _read(root / "proc/loadavg")
    return float(text.split()[0]) if text else None


def _governor(root: Path) -> str | None:
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    governors = {text for file in files if (text := _read(file))}
    return ",".join(sorted(governors)) or None


def _frequency(root: Path) -> float | None:
    """Mean over the CPUs; the kernel tells kilohertz."""
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    kilohertz = _numbers(files)
    return 1e3 * sum(kilohertz) / len(kilohertz) if kilohertz else None


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


def _quota_throttles(root: Path) -> int | None:
    """Periods in which a container's CPU quota ran out (control groups 2, then 1)."""
    for name in ("sys/fs/cgroup/cpu.stat", "sys/fs/cgroup/cpu/cpu.stat"):
        words = _words_after(root / name, "nr_throttled")
        if words:
            return int(words[0])
    return None


def _pressure(root: Path) -> float | None:
    """Share of the last ten seconds in which some task waited for a CPU."""
    for word in _words_after(root / "proc/pressure/cpu", "some") or []:
        if word.startswith("avg10="):
            return float(word.removeprefix("avg10=")) / 100
    return None


def _steal(root: Path) -> float | None:
    """Time that the host took from this guest since boot; the eighth number is steal."""
    words = _words_after(root / "proc/stat", "cpu")
    return int(words[7]) / os.sysconf("SC_CLK_TCK") if words and len(words) > 7 else None


def _memory(root: Path) -> int | None:
    words = _words_after(root / "proc/meminfo", "MemAvailable:")
    return 1024 * int(words[0]) if words else None


_PROBES: Mapping[str, Callable[[Path], Any]] = {
    "load_average_1min": _load_average,
    "governor": _governor,
    "frequency_hertz": _frequency,
    "temperature_celsius": _temperature,
    "thermal_throttles": _thermal_throttles,
    "quota_throttles": _quota_throttles,
    "cpu_pressure_10s": _pressure,
    "steal_seconds": _steal,
    "memory_available_bytes": _memory,
}

#: Names of the readings; counters (`..._throttles`, `steal_seconds`) only ever grow.
STATE_FIELDS = tuple(_PROBES)


def read_state(root: Path = Path("/")) -> dict[str, Any]:
    """All readings of `STATE_FIELDS`.

    Args:
        root: Where `proc` and `sys` are; another one for tests.
    """
    readings: dict[str, Any] = {}
    for name, probe in _PROBES.items():
        try:
            readings[name] = probe(root)
        except (ValueError, IndexError):  # a kernel that writes it otherwise does not tell it
            readings[name] = None
    return readings
