"""This machine as a device."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from atb.devices.contract import Launch, Runtime
from atb.devices.process import ProcessLaunch
from atb.devices.registry import available_runtimes
from atb.devices.settings import RunSettings
from atb.devices.state import read_state
from atb.errors import InputError

__all__ = ["LocalDevice", "read_platform"]

# Flags that decide which kernels a runtime takes; a virtual machine may hide some of them.
_TELLING_FLAGS = frozenset(
    (
        "avx",
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "avx_vnni",
        "amx_int8",
        "amx_bf16",
        "asimd",
        "asimdhp",
        "asimddp",
        "i8mm",
        "bf16",
        "sve",
        "sve2",
    )
)
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class LocalDevice:
    """This machine; its worker is a fresh Python process of the same environment.

    Args:
        timeout_seconds: Longest silence of a worker beyond the expected time of a block.
        root: Where `proc` and `sys` are.
        memory_share: Of the memory that is available when a worker starts, what it may use; an
            allocation beyond fails there, and nobody else runs out of memory.
    """

    name = "local"

    def __init__(
        self,
        timeout_seconds: float = 120.0,
        root: Path = Path("/"),
        *,
        memory_share: float = 0.8,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._root = root
        self._memory_share = memory_share
        self._builds: dict[str, str] = {}  # what workers told of the libraries they run

    @cached_property
    def platform(self) -> Mapping[str, str]:
        """Facts that identify the hardware."""
        return read_platform(self._root)

    @cached_property
    def runtimes(self) -> Mapping[str, Runtime]:
        """The runtimes that are installed here."""
        return available_runtimes()

    def launch(self, runtime: Runtime, settings: RunSettings) -> Launch:
        """Prepare a worker.

        Raises:
            InputError: The settings ask for CPUs that this process may not use.
        """
        _check_affinity(settings)
        return ProcessLaunch(
            # -P: the worker's folder stays off its path, so that no file here shadows a library
            [sys.executable, "-P", str(Path(__file__).resolve().with_name("worker.py"))],
            environment={
                **os.environ,
                **dict.fromkeys(_THREAD_VARIABLES, str(settings.threads)),
                "PYTHONUNBUFFERED": "1",
            },
            runner=runtime.name,
            settings=settings,
            timeout_seconds=self._timeout_seconds,
            load_patience_seconds=getattr(runtime, "load_patience_seconds", 0.0),
            memory_share=self._memory_share,
            builds=self._builds,
        )

    def state(self) -> Mapping[str, Any]:
        """Readings of this moment, and the builds that the last worker ran."""
        builds = ", ".join(f"{name} {build}" for name, build in sorted(self._builds.items()))
        return {**read_state(self._root), "library_builds": builds or None}

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


def _check_affinity(settings: RunSettings) -> None:
    if settings.affinity is None:
        return
    if not hasattr(os, "sched_getaffinity"):
        raise InputError(f"{platform.system()} cannot pin a process to CPUs: leave affinity out.")
    usable = os.sched_getaffinity(0)
    if not usable.issuperset(settings.affinity):
        raise InputError(
            f"affinity is {list(settings.affinity)}: choose among the CPUs {sorted(usable)}."
        )


def read_platform(root: Path = Path("/")) -> dict[str, str]:
    """Facts that identify this machine's hardware and stay the same from day to day.

    Args:
        root: Where `proc` is; another one for tests.
    """
    processors = _fields(root / "proc/cpuinfo")
    flags = set((processors.get("flags") or processors.get("Features") or "").split())
    return {
        "processor": _processor(root, processors),
        "architecture": platform.machine() or "unknown",
        "instruction_sets": " ".join(sorted(flags & _TELLING_FLAGS)) or "unknown",
        "logical_cpus": str(os.cpu_count() or "unknown"),
        "memory": _memory(root),
        "system": platform.system() or "unknown",
    }


def _fields(path: Path) -> dict[str, str]:
    """Lines `name : value`; the first of each name, which is the first processor."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _processor(root: Path, processors: Mapping[str, str]) -> str:
    """Model name; ARM kernels tell a part number, and boards a name."""
    if "model name" in processors:
        return " ".join(processors["model name"].split())
    try:
        return (root / "proc/device-tree/model").read_text("utf-8").strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        pass  # not a board
    if "CPU part" in processors:
        return f"implementer {processors.get('CPU implementer', '?')} part {processors['CPU part']}"
    return platform.processor() or "unknown"


def _memory(root: Path) -> str:
    """In whole gibibytes, since kernels reserve a little that differs between versions."""
    words = _fields(root / "proc/meminfo").get("MemTotal", "").split()
    if not words or not words[0].isdigit():
        return "unknown"
    return f"{max(1, round(int(words[0]) / 2**20))} GiB"
