"""A simulated device that answers exactly and at once, on a clock of its own.

Its latency is a formula, so that whatever measures, predicts or searches can be tested against
the truth; noise, drift, preemption and failures are added on request and are repeatable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from atb.devices import (
    PRECISIONS,
    Artefact,
    Block,
    LaunchFailure,
    Loaded,
    OperatorTime,
    RunSettings,
    Runtime,
    WorkerSession,
)
from atb.devices.fake.processor import FAKE_CPUS, FakeCosts, FakeProcessor, Iterations, pace_of
from atb.devices.host import STATE_FIELDS
from atb.devices.runtimes import describe_artefact
from atb.errors import AtbError
from atb.files import read_document, write_document
from atb.models import Architecture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_KIND, _FORMAT = "fake-model", 1
_CLOCK_START = 1_700_000_000.0  # Unix seconds; any fixed moment, so that runs repeat exactly
_PROCESS_SECONDS = 0.1  # what a fresh process and a load cost on the simulated clock
_LOAD_SECONDS = 0.02
_TIMEOUT_SECONDS = 60.0
_TOKENISER_WARMUP = 3


class FakeRuntime:
    """Writes small JSON files that name an architecture."""

    name = "fake"
    version = "1"
    precisions = PRECISIONS
    builds_at_once = True

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


class FakeDevice(FakeProcessor):
    """A device whose latency is `latency(architecture, settings)`, times what is asked for.

    Args:
        name: What it is called.
        noise: Relative standard deviation of each iteration.
        launch_noise: Relative standard deviation of a factor that each model has of its own in
            each launch, as by where its memory lies: what is timed beside it does not show it.
        level_noise: The same of a factor that each model keeps as long as the device lives, such as
            a day: no number of launches shows it.
        sharing_noise: Standard deviation, over models, of the power of `slowdown` that acts on
            them: around one, so that they share a drift in part.
        preemption: Probability that an iteration is preempted: its wall time grows, its CPU time
            does not.
        slowdown: Simulated seconds since the device began -> factor on time; drift and steps.
        failures: Text form of an architecture -> cause with which it fails.
        seed: Of noise and preemption.
        costs: What the simulated processor takes.
        room_bytes: What the models of one worker may take together; None for no end.
        room_cause: How a worker fails that was given more.
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
        level_noise: float = 0.0,
        sharing_noise: float = 0.0,
        preemption: float = 0.0,
        costs: FakeCosts | None = None,
        room_bytes: float | None = None,
        room_cause: str = "out-of-memory",
    ) -> None:
        super().__init__(costs, noise, preemption, slowdown, seed)
        self.name = name
        self.launch_noise = launch_noise
        self.level_noise = level_noise
        self.sharing_noise = sharing_noise
        self.failures = dict(failures or {})
        self.room_bytes = math.inf if room_bytes is None else room_bytes
        self.room_cause = room_cause

    @property
    def platform(self) -> Mapping[str, str]:
        """The same keys as a real device."""
        return {
            "processor": "simulated",
            "architecture": "simulated",
            "instruction_sets": "simulated",
            "logical_cpus": str(FAKE_CPUS),
            "memory": "8 GiB",
            "system": "simulated",
        }

    @property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """All of its CPUs are equally fast."""
        return (tuple(range(FAKE_CPUS)),)

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """Its only one."""
        return {FakeRuntime.name: FakeRuntime(self.failures)}

    def latency(self, architecture: Architecture, settings: RunSettings) -> float:
        """The exact latency in seconds of one inference of a hot loop, without noise and slowdown.

        In the other scenarios it takes `idle_factor` times as long after a pause of at least
        `idle_seconds`, and `crowding` times as long where streams share the CPUs.
        """
        return sum(self.costs.terms(architecture, settings).values())

    def level_factor(self, architecture: Architecture) -> float:
        """How much longer a model takes than `latency`, as long as the device lives."""
        return max(0.1, 1.0 + self.level_noise * self._drawn(architecture, 0))

    def power(self, architecture: Architecture) -> float:
        """The power of `slowdown` that acts on a model."""
        return 1.0 + self.sharing_noise * self._drawn(architecture, 1)

    def _drawn(self, architecture: Architecture, which: int) -> float:
        """A standard normal number of a model's own, the same whenever it is asked for."""
        import numpy as np

        a = architecture
        numbers = (self.seed, which, a.layers, a.hidden, a.heads, a.qkv, a.feed_forward)
        return float(np.random.default_rng(numbers).normal())

    def launch(self, runtime: Runtime, settings: RunSettings) -> WorkerSession:
        """Prepare a simulated worker."""
        return _FakeSession(self, settings)

    def state(self) -> Mapping[str, Any]:
        """The fields of a real device; only frequency and energy are simulated."""
        watts = self.costs.watts
        return {
            **dict.fromkeys(STATE_FIELDS),
            "frequency_hertz": 3e9 / self.slowdown(self.elapsed),
            "energy_joules": None if watts is None else watts * self.elapsed,
        }

    def now(self) -> float:
        """Simulated Unix time, in seconds."""
        return _CLOCK_START + self.elapsed

    def wait(self, seconds: float) -> None:
        """Advance the simulated clock."""
        self.elapsed += seconds


class _FakeSession:
    """A simulated worker process."""

    def __init__(self, device: FakeDevice, settings: RunSettings) -> None:
        self._device = device
        self._settings = settings
        self._factors: dict[str, float] = {}
        self._models: dict[str, Architecture] = {}
        self._settings_of: dict[str, RunSettings] = {}
        self._alive = False
        self._used_bytes = 0

    def __enter__(self) -> Self:
        self._device.wait(_PROCESS_SECONDS)
        self._alive = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._alive = False

    def load(
        self,
        key: str,
        artefact: Artefact,
        *,
        settings: RunSettings | None = None,
        vocabulary_size: int | None = None,
    ) -> Loaded:
        self._require_alive()
        try:
            document = read_document(artefact.path, kind=_KIND, format=_FORMAT)
            architecture = Architecture.parse(document["architecture"])
        except (AtbError, KeyError) as error:
            raise self._failure("load-error", str(error)) from error
        self._fail_if_told(architecture, ("load-error", "out-of-memory", "wrong-output"))
        self._models[key] = architecture
        self._factors[key] = self._device.level_factor(architecture)
        if self._device.launch_noise:
            own = float(self._device.rng.normal(1.0, self._device.launch_noise))
            self._factors[key] *= max(0.1, own)
        self._settings_of[key] = settings or self._settings
        self._device.wait(_LOAD_SECONDS)
        power = self._device.power(architecture)
        first = self._device.iterate(2 * self._seconds(key), 1, power=power).wall[0]
        checksum = float(architecture.hidden * architecture.layers)
        memory = self._device.costs.memory_bytes(architecture, self._settings)
        self._used_bytes += memory
        if self._used_bytes > self._device.room_bytes:
            raise self._failure(self._device.room_cause, f"{key} does not fit any more")
        return Loaded(_LOAD_SECONDS, float(first), ("simulated",), checksum, memory)

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        architecture = self._model(key)
        self._fail_if_told(architecture, ("crash", "timeout", "device-gone"))
        settings, device = self._settings_of[key], self._device
        iterate = partial(
            device.iterate,
            self._seconds(key),
            pace=pace_of(settings),
            streams=settings.streams,
            power=device.power(architecture),
            crowding=device.costs.crowding(settings),
        )
        warm = iterate(warmup)
        timed = iterate(iterations)
        return self._block(warm, timed, self._process_cpu(key, timed))

    def operators(self, key: str, *, iterations: int) -> tuple[OperatorTime, ...]:
        """The terms of its costs."""
        terms = self._device.costs.terms(self._model(key), self._settings)
        total = sum(terms.values())
        self._device.iterate(total, iterations)
        return tuple(
            OperatorTime(term, term, seconds, 1, seconds / total)
            for term, seconds in sorted(terms.items(), key=lambda item: -item[1])
        )

    def tokenise(
        self, vocabulary: Path, text: str, *, sequence_length: int, iterations: int
    ) -> Block:
        """So many seconds a token, whatever the text."""
        self._require_alive()
        if not vocabulary.is_file():
            raise self._failure("load-error", f"{vocabulary} is not there")
        seconds = sequence_length * self._device.costs.token_seconds
        warm = self._device.iterate(seconds, _TOKENISER_WARMUP)
        timed = self._device.iterate(seconds, iterations)
        return self._block(warm, timed, tuple(timed.cpu.tolist()))

    def _block(self, warm: Iterations, timed: Iterations, process_cpu: tuple[float, ...]) -> Block:
        begin = float(timed.begin[0])
        return Block(
            started_at=_CLOCK_START + begin,
            wall_seconds=tuple(timed.wall.tolist()),
            cpu_seconds=tuple(timed.cpu.tolist()),
            voluntary_switches=(0,) * len(timed.wall),
            involuntary_switches=tuple(timed.preempted.tolist()),
            warmup_seconds=tuple(warm.wall.tolist()),
            wait_seconds=tuple(timed.wait.tolist()),
            process_cpu_seconds=process_cpu,
            minor_faults=0,
            major_faults=0,
            span_seconds=self._device.elapsed - begin,
        )

    def _process_cpu(self, key: str, timed: Iterations) -> tuple[float, ...]:
        """What all threads do of an iteration, which is what one alone would do.

        Of several streams it belongs to no single request, as in the real worker.
        """
        settings, device, architecture = self._settings_of[key], self._device, self._models[key]
        if settings.scenario == "throughput":
            return ()
        alone = device.latency(architecture, replace(settings, threads=1))
        return tuple((timed.cpu * (alone / device.latency(architecture, settings))).tolist())

    def output(self, key: str) -> npt.NDArray[np.float32]:
        """What the reference computes, since the device is exact."""
        from atb.devices.runtimes import timing_output

        return timing_output(self._model(key), self._settings)

    def _seconds(self, key: str) -> float:
        latency = self._device.latency(self._models[key], self._settings_of[key])
        return self._factors[key] * latency

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
