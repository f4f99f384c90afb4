"""This machine as a device, and what it has in common with others that start workers."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from atb.devices.contract import Runtime, WorkerSession
from atb.devices.host import cpu_clusters, read_platform, read_state, within
from atb.devices.runtimes import available_runtimes, find_runner
from atb.devices.settings import RunSettings
from atb.devices.worker import WORKER_PROGRAM, Channel, ProcessChannel, WorkerClient, sent_sources
from atb.errors import InputError

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class WorkerDevice(ABC):
    """A device that starts workers; a subclass says how, and gives the rest of `Device`.

    Args:
        timeout_seconds: Longest silence of a worker beyond the expected time of a block.
        memory_share: Of the memory that is available when a worker starts, what it may use; an
            allocation beyond fails there, and no other process runs out of memory.
    """

    name: str

    def __init__(self, timeout_seconds: float = 120.0, memory_share: float = 0.8) -> None:
        self._timeout_seconds = timeout_seconds
        self._memory_share = memory_share
        self._builds: dict[str, str] = {}  # what workers told of the libraries they run

    @abstractmethod
    def channel(self, settings: RunSettings) -> Channel:
        """The way to a fresh worker, which reads its sources first (`WORKER_PROGRAM`)."""

    @abstractmethod
    def usable_cpus(self) -> Collection[int] | None:
        """The CPUs that a worker may be pinned to; None where the system cannot pin."""

    @abstractmethod
    def readings(self) -> Mapping[str, Any]:
        """Readings of this moment, but for the builds of libraries."""

    def launch(self, runtime: Runtime, settings: RunSettings) -> WorkerSession:
        """Prepare a worker.

        Raises:
            InputError: The settings ask for CPUs that it may not use.
        """
        if settings.affinity is not None:
            self._check_affinity(settings.affinity)
        return WorkerClient(
            self.channel(settings),
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
        return {**self.readings(), "library_builds": builds or None}

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def _check_affinity(self, affinity: tuple[int, ...]) -> None:
        usable = self.usable_cpus()
        if usable is None:
            raise InputError(
                f"The system of {self.name} cannot pin a process to CPUs: leave affinity out."
            )
        if not set(usable).issuperset(affinity):
            raise InputError(
                f"affinity is {list(affinity)}: choose among the CPUs {sorted(usable)} of "
                f"{self.name}."
            )


class LocalDevice(WorkerDevice):
    """This machine; its worker is a fresh Python process of the same environment.

    Args:
        timeout_seconds: See `WorkerDevice`.
        root: Where `proc` and `sys` are.
        memory_share: See `WorkerDevice`.
    """

    name = "local"
    #: What starts a worker.
    command: tuple[str, ...] = (sys.executable, "-c", WORKER_PROGRAM)

    def __init__(
        self, timeout_seconds: float = 120.0, root: Path = Path("/"), *, memory_share: float = 0.8
    ) -> None:
        super().__init__(timeout_seconds, memory_share)
        self._root = root

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
        return within(cpu_clusters(self._root), self.usable_cpus())

    def usable_cpus(self) -> set[int] | None:
        """The CPUs that this process may use."""
        return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    def channel(self, settings: RunSettings) -> Channel:
        """A process of this machine."""
        return ProcessChannel(self.command, {**os.environ, **thread_environment(settings.threads)})

    def readings(self) -> Mapping[str, Any]:
        """Readings of this moment, but for the builds of libraries."""
        return read_state(self._root)


def thread_environment(threads: int) -> dict[str, str]:
    """Variables of a worker on any device: what keeps libraries to so many threads."""
    return {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), "PYTHONUNBUFFERED": "1"}
