"""Reads the committed noise trace, and devices that are slowed by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atb.devices.contract import Artefact, Block, Loaded, Runtime, WorkerSession
from atb.devices.fake.device import FakeCosts, FakeDevice
from atb.devices.settings import RunSettings
from atb.models.published import resolve
from benchmarks.noise.record_noise import MODELS
from benchmarks.shared.paths import NOISE_TRACE

Array = npt.NDArray[np.float64]

#: Begin of a launch, in which caches and clocks still settle.
_SETTLING_SECONDS = 1.0


@dataclass(frozen=True)
class Series:
    """One model in the trace: when its blocks began, in which launch, and their quartiles.

    Attributes:
        seconds: Since the trace began, rising.
        launch: Index of the worker process.
        slowdown: Lower quartile of the block over the model's level.
        level_seconds: Of the model: a low quantile of its blocks.
    """

    seconds: Array
    launch: npt.NDArray[np.int64]
    slowdown: Array
    level_seconds: float


def read_trace(path: Path = NOISE_TRACE, *, level_quantile: float = 0.1) -> dict[str, Series]:
    """All models of the trace by name; `sentinel` is one of them.

    Args:
        path: Of the trace.
        level_quantile: Of a model's blocks, which is called a slowdown of one.
    """
    with np.load(path, allow_pickle=False) as arrays:
        found = {}
        for name in MODELS:
            values = arrays[f"{name}_quartile"].astype(float)
            level = float(np.quantile(values, level_quantile))
            seconds = arrays[f"{name}_seconds"].astype(float)
            launch = arrays[f"{name}_launch"].astype(int)
            found[name] = Series(seconds, launch, values / level, level)
    return found


def cache_slowdown(trace: dict[str, Series]) -> float:
    """How much slower the second sentinel usually is than the first one, beside their levels."""
    first, second = trace["sentinel"], trace["cache"]
    beside = np.clip(np.searchsorted(first.seconds, second.seconds), 0, len(first.seconds) - 1)
    return float(np.median(second.slowdown / first.slowdown[beside]))


class TraceDevice(FakeDevice):
    """A simulated device whose models are slowed as the models of the trace were.

    Each launch of it takes place in the next launch of the trace, so that what differs between
    real processes differs between simulated ones too.

    Args:
        trace: Of `read_trace`.
        model: Name of the model of the trace that lends its noise to whatever is timed.
        rng: Where in the trace a campaign begins.
        noise: Relative standard deviation of iterations within a block.
    """

    def __init__(
        self, trace: dict[str, Series], model: str, rng: np.random.Generator, noise: float = 0.003
    ) -> None:
        seed = int(rng.integers(2**31))
        # a few iterations a block, as of the models that the trace was recorded with
        costs = FakeCosts(fixed_seconds=5e-3)
        super().__init__(noise=noise, seed=seed, slowdown=self._slow, costs=costs)
        self._trace = trace
        self._timed = model
        self._choice = rng
        self._launches = np.unique(trace["sentinel"].launch)[1:-1]
        self._next = int(rng.integers(len(self._launches)))
        self._shift = 0.0
        self.running = "sentinel"

    def launch(self, runtime: Runtime, settings: RunSettings) -> WorkerSession:
        """Prepare a worker whose time is that of another launch of the trace."""
        return _TraceLaunch(self, super().launch(runtime, settings))

    def begin(self) -> None:
        """Move to the next launch of the trace, some seconds after its begin."""
        number = self._launches[self._next % len(self._launches)]
        self._next += 1
        series = self._trace["sentinel"]
        times = series.seconds[series.launch == number]
        start = times[0] + _SETTLING_SECONDS + float(self._choice.uniform(0, 8))
        self._shift = start - (self.now() - FakeDevice().now())

    def _slow(self, elapsed: float) -> float:
        own = self.running in ("sentinel", "cache")
        series = self._trace[self.running if own else self._timed]
        at = min(
            int(np.searchsorted(series.seconds, elapsed + self._shift)), len(series.seconds) - 1
        )
        return float(series.slowdown[at])


class _TraceLaunch:
    """Tells the device which model runs."""

    def __init__(self, device: TraceDevice, launch: Any) -> None:
        self._device = device
        self._launch = launch

    def __enter__(self) -> Self:
        self._launch.__enter__()
        self._device.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._launch.__exit__(kind, error, traceback)

    def load(self, key: str, artefact: Artefact, **how: Any) -> Loaded:
        self._device.running = key
        loaded: Loaded = self._launch.load(key, artefact, **how)
        return loaded

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        self._device.running = key
        block: Block = self._launch.run(key, iterations=iterations, warmup=warmup)
        return block

    def output(self, key: str) -> npt.NDArray[np.float32]:
        output: npt.NDArray[np.float32] = self._launch.output(key)
        return output


def subject_of(model: str) -> Any:
    """The architecture behind a name of the trace."""
    return resolve(MODELS[model])
