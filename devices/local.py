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

from atb.devices.contract import Runtime, WorkerSession
from atb.devices.host import cpu_clusters, read_platform, read_state, within
from atb.devices.runtimes import available_runtimes, find_runner
from atb.devices.settings import RunSettings
from atb.devices.worker import WORKER_PROGRAM, ProcessChannel, WorkerClient, sent_sources
from atb.errors import InputError

__all__ = ["LocalDevice", "thread_environment"]

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
            allocation beyond fails there, and no other process runs out of memory.
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

    @cached_property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """The CPUs that this process may use, grouped by speed, the fastest group first."""
        return within(cpu_clusters(self._root), usable_cpus())

    def launch(self, runtime: Runtime, settings: RunSettings) -> WorkerSession:
        """Prepare a worker.

        Raises:
            InputError: The settings ask for CPUs that this process may not use.
        """
        _check_affinity(settings)
        environment = {**os.environ, **thread_environment(settings.threads)}
        return WorkerClient(
            ProcessChannel([sys.executable, "-c", WORKER_PROGRAM], environment),
            sources=sent_sources(find_runner(runtime.name)),
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


def thread_environment(threads: int) -> dict[str, str]:
    """Variables of a worker on any device: what keeps libraries to so many threads."""
    return {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), "PYTHONUNBUFFERED": "1"}


def usable_cpus() -> set[int] | None:
    """The CPUs that this process may use; None where the system cannot pin a process."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _check_affinity(settings: RunSettings) -> None:
    if settings.affinity is None:
        return
    usable = usable_cpus()
    if usable is None:
        raise InputError(f"{platform.system()} cannot pin a process to CPUs: leave affinity out.")
    if not usable.issuperset(settings.affinity):
        raise InputError(
            f"affinity is {list(settings.affinity)}: choose among the CPUs {sorted(usable)}."
        )
