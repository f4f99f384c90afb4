"""How much memory this process has, and may have."""

from __future__ import annotations

import contextlib
from pathlib import Path

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]


def forget_peak() -> bool:
    """Let the system count the largest memory of this process from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    """A file of the system; empty where there is none."""
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:
        return ""


def memory_of(name: str, path: str = "/proc/self/status") -> int | None:
    """A size in bytes that the system tells, of this process: `VmRSS`, or its peak `VmHWM`."""
    kibibytes = [
        line.split()[1] for line in _read(path).splitlines() if line.startswith(f"{name}:")
    ]
    return 1024 * int(kibibytes[0]) if kibibytes else None


def limit_memory(share: float) -> None:
    """Let allocations fail here before the machine runs out, and go first if it does so anyway."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    groups = ("memory.max", "memory/memory.limit_in_bytes")  # of a container, by either version
    limits = [
        int(text) for name in groups if (text := _read(f"/sys/fs/cgroup/{name}")).strip().isdigit()
    ]
    available = memory_of("MemAvailable", "/proc/meminfo")
    if resource is None or available is None:
        return
    # written memory, not addresses, of which runtimes reserve far more than they use
    data = int(share * min([available, *limits])) + (memory_of("VmData") or 0)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    data = data if most == resource.RLIM_INFINITY else min(data, most)
    resource.setrlimit(resource.RLIMIT_DATA, (data, most))
