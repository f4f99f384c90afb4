"""A remote device that is reached over SSH: a board, a server, another laptop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from atb.devices import (
    Artefact,
    LaunchFailure,
    RunSettings,
    Runtime,
    WorkerDevice,
    thread_environment,
)
from atb.devices.host import within
from atb.devices.remote.agent_client import RemoteAgent, RemoteError
from atb.devices.remote.saved_devices import RemoteFacts, SavedDevice
from atb.devices.remote.ssh import ConnectionFailed, HostRefused
from atb.devices.remote.worker_channel import RemoteWorker
from atb.devices.runtimes import all_runtimes, available_runtimes
from atb.errors import RunError
from atb.models import Architecture

_FIRST_PAUSE_SECONDS = 0.5  # before a device that was there is tried again; doubled each time
_LONGEST_PAUSE_SECONDS = 5.0

_T = TypeVar("_T")


class RemoteRuntime:
    """A runtime that builds its artefacts here and runs them on the device.

    Args:
        runtime: The runtime that builds here.
        version: Of the library on the device.
    """

    def __init__(self, runtime: Runtime, version: str) -> None:
        self._runtime = runtime
        self.name = runtime.name
        self.version = version
        self.precisions = runtime.precisions
        self.load_patience_seconds: float = getattr(runtime, "load_patience_seconds", 0.0)

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the timing artefact into `folder`."""
        return self._runtime.build(architecture, settings, folder)


def read_facts(agent: RemoteAgent) -> RemoteFacts:
    """What a machine is, and which libraries it has."""
    distributions = {name: runtime.distributions for name, runtime in all_runtimes().items()}
    try:
        # without numpy no worker runs
        return agent.facts({"numpy": ("numpy",), **distributions})
    except RemoteError as error:
        raise RunError(
            f"The device cannot say what it is ({error}): look whether Python works on the device."
        ) from error


class SshDevice(WorkerDevice):
    """A machine on which an agent runs as long as we are connected; see agent.py.

    It is connected when it is first asked for something. If the connection is cut, whatever is
    under way fails with `device-gone`, and the next call connects again.

    Args:
        saved: How it is reached, and what it was when it was added.
        timeout_seconds: See `WorkerDevice`.
        absence_seconds: How long a device that was there is waited for, as while it starts anew.
        memory_share: See `WorkerDevice`.
    """

    def __init__(
        self,
        saved: SavedDevice,
        timeout_seconds: float = 120.0,
        *,
        absence_seconds: float = 120.0,
        memory_share: float = 0.8,
    ) -> None:
        super().__init__(timeout_seconds, memory_share)
        self.name = saved.name
        self._saved = saved
        self._absence_seconds = absence_seconds
        self._agent: RemoteAgent | None = None
        self._facts: RemoteFacts | None = None
        self._clock_offset = 0.0

    @property
    def platform(self) -> Mapping[str, str]:
        """Facts that identify the hardware, as it tells them today."""
        return self._known().platform

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """Those that can be built here and run there."""
        versions = self._known().versions
        if "numpy" not in versions:
            return {}
        return {
            name: RemoteRuntime(runtime, versions[name])
            for name, runtime in available_runtimes().items()
            if name in versions
        }

    @property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """Its CPUs that a worker may use, grouped by speed, as it told when it was added.

        What is measured on each of them then stays one campaign, whichever CPUs are online today.
        """
        facts = self._saved.facts
        return within(facts.clusters, facts.usable_cpus)

    def usable_cpus(self) -> tuple[int, ...] | None:
        """The CPUs that it says today a worker may be pinned to."""
        return self._known().usable_cpus

    def channel(self, settings: RunSettings) -> RemoteWorker:
        """By way of the agent."""
        return RemoteWorker(self._start, thread_environment(settings.threads))

    def readings(self) -> Mapping[str, Any]:
        """Readings of this moment.

        Raises:
            LaunchFailure: The device cannot be reached.
        """
        return self._ask(RemoteAgent.state)

    def now(self) -> float:
        """Its clock, from ours and the difference when a launch last began there."""
        self._known()
        return time.time() + self._clock_offset

    def close(self) -> None:
        """Hang up, which makes the device clear up; the next call connects again."""
        if self._agent is not None:
            self._agent.close()

    def _known(self) -> RemoteFacts:
        """What it is; the first call connects."""
        if self._facts is None:
            self._connect()
        assert self._facts is not None
        return self._facts

    def _start(self) -> RemoteAgent:
        """A connection for a launch, with its clock read again."""
        agent = self._connect()
        self._clock_offset = agent.clock_offset()
        return agent

    def _ask(self, question: Callable[[RemoteAgent], _T]) -> _T:
        try:
            return question(self._connect())
        except (ConnectionFailed, RemoteError) as error:
            raise LaunchFailure("device-gone", str(error)) from error

    def _connect(self) -> RemoteAgent:
        """The connection, or a new one; a device that was there before is waited for.

        Raises:
            RunError: It cannot be reached, or is another machine.
        """
        if self._agent is not None and self._agent.alive:
            return self._agent
        patience = 0.0 if self._agent is None else self._absence_seconds
        deadline, pause = time.monotonic() + patience, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._greet()
            except HostRefused:
                raise
            except ConnectionFailed:
                if time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _greet(self) -> RemoteAgent:
        saved = self._saved
        agent = RemoteAgent(
            saved.address, python=saved.python, key=saved.key, known_hosts=saved.known_hosts
        )
        try:
            facts = read_facts(agent)
            self._check_identity(facts)
            self._clock_offset = agent.clock_offset()
        except BaseException:
            agent.close()
            raise
        self._agent, self._facts = agent, facts
        return agent

    def _check_identity(self, facts: RemoteFacts) -> None:
        """Versions may change; what the hardware is may not.

        Raises:
            RunError: It is another machine.
        """
        before, now = self._saved.facts.platform, facts.platform
        differences = [
            f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if differences:
            raise RunError(
                f"Another machine answers under the name {self.name} ({'; '.join(differences)}): "
                f"take it out with `atb devices remove {self.name}`, and add the new one."
            )
