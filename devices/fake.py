"""A simulated device that answers exactly and at once, on a clock of its own.

Its latency is a formula, so that whatever measures, predicts or searches can be tested against
the truth; noise, drift, preemption and failures are added on request and are repeatable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atb.devices.artefact import describe_artefact
from atb.devices.contract import Artefact, Block, Launch, LaunchFailure, Loaded, Runtime
from atb.devices.reference import timing_output
from atb.devices.settings import PRECISIONS, RunSettings
from atb.devices.state import STATE_FIELDS
from atb.errors import AtbError
from atb.files import read_document, write_document
from atb.models.architecture import Architecture

__all__ = ["FakeCosts", "FakeDevice", "FakeRuntime"]

_KIND, _FORMAT = "fake-model", 1
_CLOCK_START = 1_700_000_000.0  # Unix seconds; any fixed moment, so that runs repeat exactly
_PROCESS_SECONDS = 0.1  # what a fresh process and a load cost on the simulated clock
_LOAD_SECONDS = 0.02
_TIMEOUT_SECONDS = 60.0
_PREEMPTION_SECONDS = 0.004  # mean time off the CPU, one slice of a usual scheduler


@dataclass(frozen=True, slots=True)
class FakeCosts:
    """What a simulated processor takes; two devices of different costs test transfer.

    Attributes:
        fixed_seconds: For each inference.
        layer_seconds: For each layer.
        value_seconds: For each embedding value, tokens times hidden size.
        multiply_adds_per_second: Of one thread in fp32.
        int8_speedup: How many times faster multiply-adds are in int8.
        parallel_share: Share of the multiply-adds that threads divide among themselves.
    """

    fixed_seconds: float = 3e-4
    layer_seconds: float = 5e-5
    value_seconds: float = 2e-9
    multiply_adds_per_second: float = 4e10
    int8_speedup: float = 2.0
    parallel_share: float = 0.9


class FakeRuntime:
    """Writes small JSON files that name an architecture."""

    name = "fake"
    version = "1"
    precisions = PRECISIONS

    def __init__(self, failures: Mapping[str, str] | None = None) -> None:
        self._failures = failures or {}

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the artefact; an architecture that is to fail with `build-error` does so here."""
        if self._failures.get(str(architecture)) == "build-error":
            raise LaunchFailure("build-error", f"{architecture} was told to fail")
        path = folder / f"{architecture}.{settings.precision}.json"
        content = {"architecture": str(architecture), "precision": settings.precision}
        try:
            write_document(path, content, kind=_KIND, format=_FORMAT)
        except OSError as error:
            raise LaunchFailure("build-error", f"cannot write {path} ({error.strerror})") from error
        return describe_artefact(path)


class FakeDevice:
    """A device whose latency is `latency(architecture, settings)`, times what is asked for.

    Args:
        name: What it is called.
        noise: Relative standard deviation of each iteration.
        launch_noise: Relative standard deviation of a factor that a launch keeps.
        preemption: Probability that an iteration is preempted: its wall time grows, its CPU time
            does not.
        slowdown: Simulated seconds since the device began -> factor on time; drift and steps.
        failures: Text form of an architecture -> cause with which it fails.
        seed: Of noise and preemption.
        costs: What the simulated processor takes.
    """

    def __init__(
        self,
        name: str = "fake",
        noise: float = 0.0,
        seed: int = 0,
        slowdown: Callable[[float], float] | None = None,
        failures: Mapping[str, str] | None = None,
        *,
        launch_noise: float = 0.0,
        preemption: float = 0.0,
        costs: FakeCosts | None = None,
    ) -> None:
        self._name = name
        self.noise = noise
        self.launch_noise = launch_noise
        self.preemption = preemption
        self.slowdown = slowdown or (lambda elapsed: 1.0)
        self.failures = dict(failures or {})
        self.costs = costs or FakeCosts()
        self.rng = np.random.default_rng(seed)
        self._elapsed = 0.0

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def platform(self) -> Mapping[str, str]:
        """The same keys as a real device."""
        return {
            "processor": "simulated",
            "architecture": "simulated",
            "instruction_sets": "simulated",
            "logical_cpus": "4",
            "memory": "8 GiB",
            "system": "simulated",
        }

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """Its only one."""
        return {FakeRuntime.name: FakeRuntime(self.failures)}

    def latency(self, architecture: Architecture, settings: RunSettings) -> float:
        """The exact latency of one inference, in seconds, without noise and slowdown."""
        costs, a = self.costs, architecture
        share = costs.parallel_share
        rate = costs.multiply_adds_per_second / ((1 - share) + share / settings.threads)
        if settings.precision == "int8":
            rate *= costs.int8_speedup
        tokens = settings.batch * settings.sequence_length
        work = settings.batch * a.multiply_adds(settings.sequence_length)
        return (
            costs.fixed_seconds
            + a.layers * costs.layer_seconds
            + tokens * a.hidden * costs.value_seconds
            + work / rate
        )

    def launch(self, runtime: Runtime, settings: RunSettings) -> Launch:
        """Prepare a simulated worker."""
        return _FakeLaunch(self, settings)

    def state(self) -> Mapping[str, Any]:
        """The fields of a real device; only the frequency is simulated."""
        frequency = 3e9 / self.slowdown(self._elapsed)
        return {**dict.fromkeys(STATE_FIELDS), "frequency_hertz": frequency}

    def now(self) -> float:
        """Simulated Unix time, in seconds."""
        return _CLOCK_START + self._elapsed

    def wait(self, seconds: float) -> None:
        """Advance the simulated clock."""
        self._elapsed += seconds

    def iterate(
        self, seconds: float, iterations: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Run iterations of this exact latency on the simulated clock.

        Returns:
            Wall seconds, CPU seconds and preemptions, each [iterations].
        """
        cpu = np.full(iterations, seconds)
        if self.noise:
            # a floor, since no computation takes a negative time
            cpu *= np.maximum(self.rng.normal(1.0, self.noise, iterations), 0.1)
        preempted = np.zeros(iterations, dtype=np.int64)
        waited = np.zeros(iterations)
        if self.preemption:
            preempted = (self.rng.random(iterations) < self.preemption).astype(np.int64)
            waited = preempted * self.rng.exponential(_PREEMPTION_SECONDS, iterations)
        for i in range(iterations):
            cpu[i] *= self.slowdown(self._elapsed)
            self._elapsed += float(cpu[i] + waited[i])
        return cpu + waited, cpu, preempted


class _FakeLaunch:
    """A simulated worker process."""

    def __init__(self, device: FakeDevice, settings: RunSettings) -> None:
        self._device = device
        self._settings = settings
        self._factor = 1.0
        self._models: dict[str, Architecture] = {}
        self._alive = False

    def __enter__(self) -> Self:
        device = self._device
        device.wait(_PROCESS_SECONDS)
        if device.launch_noise:
            self._factor = max(0.1, float(device.rng.normal(1.0, device.launch_noise)))
        self._alive = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._alive = False

    def load(self, key: str, artefact: Artefact) -> Loaded:
        self._require_alive()
        try:
            document = read_document(artefact.path, kind=_KIND, format=_FORMAT)
            architecture = Architecture.parse(document["architecture"])
        except (AtbError, KeyError) as error:
            raise self._failure("load-error", str(error)) from error
        self._fail_if_told(architecture, ("load-error", "out-of-memory", "wrong-output"))
        self._models[key] = architecture
        self._device.wait(_LOAD_SECONDS)
        first, _, _ = self._device.iterate(2 * self._seconds(architecture), 1)
        checksum = float(architecture.hidden * architecture.layers)
        return Loaded(_LOAD_SECONDS, float(first[0]), ("simulated",), checksum)

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        architecture = self._model(key)
        self._fail_if_told(architecture, ("crash", "timeout", "device-gone"))
        seconds = self._seconds(architecture)
        warm, _, _ = self._device.iterate(seconds, warmup)
        started_at = self._device.now()
        wall, cpu, preempted = self._device.iterate(seconds, iterations)
        return Block(
            started_at=started_at,
            wall_seconds=tuple(wall.tolist()),
            cpu_seconds=tuple(cpu.tolist()),
            voluntary_switches=(0,) * iterations,
            involuntary_switches=tuple(preempted.tolist()),
            warmup_seconds=tuple(warm.tolist()),
        )

    def output(self, key: str) -> npt.NDArray[np.float32]:
        """What the reference computes, since the device is exact."""
        return timing_output(self._model(key), self._settings)

    def _seconds(self, architecture: Architecture) -> float:
        return self._factor * self._device.latency(architecture, self._settings)

    def _model(self, key: str) -> Architecture:
        self._require_alive()
        if key not in self._models:
            raise self._failure("load-error", f"nothing is loaded under {json.dumps(key)}")
        return self._models[key]

    def _require_alive(self) -> None:
        if not self._alive:
            raise LaunchFailure("crash", "the worker is not running")

    def _fail_if_told(self, architecture: Architecture, causes: tuple[str, ...]) -> None:
        cause = self._device.failures.get(str(architecture))
        if cause in causes:
            if cause == "timeout":
                self._device.wait(_TIMEOUT_SECONDS)
            raise self._failure(cause, f"{architecture} was told to fail")

    def _failure(self, cause: str, detail: str) -> LaunchFailure:
        self._alive = False
        return LaunchFailure(cause, detail)
