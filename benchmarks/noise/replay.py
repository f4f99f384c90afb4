"""A device that replays recorded noise, so that whole comparisons run on it in no time.

The recording (`record_noise.py`) holds blocks of several models that took turns in fresh workers.
A side is one of its models. Where both are the same one, they take its blocks in turn, which lie
half a second apart and not, as in a comparison, right beside each other. Where they are two, what
they share and what each has of its own in a launch is as it was. Their long-run ratio is taken out
and another one put in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atb.devices.contract import Artefact, Block, Loaded, Runtime
from atb.devices.fake.device import FakeRuntime
from atb.devices.settings import RunSettings

#: What a fresh worker and a load took on the machine of the recording, in seconds.
PROCESS_SECONDS, LOAD_SECONDS = 0.35, 0.10
#: What the blocks of a recording lasted.
BLOCK_SECONDS = 0.05
_SENTINEL = "sentinel"
_FEWEST_UNDISTURBED = 2


@dataclass(frozen=True)
class Trace:
    """Recorded blocks.

    Attributes:
        launches: By launch and model: natural logarithms of the latencies of its blocks in order,
            float [rounds], in which a disturbed block is not a number. Blocks of the same round
            ran within half a second, those of two sides in a comparison run closer together.
    """

    launches: tuple[Mapping[str, npt.NDArray[np.float64]], ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, without the sentinel."""
        return tuple(name for name in self.launches[0] if name != _SENTINEL)

    def log_ratio(self, first: str, second: str) -> float:
        """Of two models in the long run: the mean over launches of what their rounds show."""
        found = []
        for launch in self.launches:
            rounds = min(len(launch[first]), len(launch[second]))
            found.append(np.nanmedian(launch[second][:rounds] - launch[first][:rounds]))
        return float(np.mean(found))


def load_trace(path: Path) -> Trace:
    """Read what `record_noise.py` wrote."""
    arrays = np.load(path, allow_pickle=False)
    names = [name.removesuffix("_launch") for name in arrays if name.endswith("_launch")]
    blocks: dict[int, dict[str, npt.NDArray[np.float64]]] = {}
    for name in names:
        seconds = arrays[f"{name}_median"].astype(float)
        iterations = max(3, np.ceil(BLOCK_SECONDS / seconds.min()))
        disturbed = arrays[f"{name}_preempted"] > iterations - _FEWEST_UNDISTURBED
        logs = np.where(disturbed, np.nan, np.log(seconds))
        for launch in np.unique(arrays[f"{name}_launch"]):
            blocks.setdefault(int(launch), {})[name] = logs[arrays[f"{name}_launch"] == launch]
    # the last launch of a recording may be cut off
    whole = sorted(blocks)[:-1]
    return Trace(tuple(blocks[launch] for launch in whole))


class ReplayDevice:
    """Answers with recorded blocks of two models in place of `first` and `second`.

    Each launch takes the next launch of the recording and begins at a random round of it.

    Args:
        trace: The recording.
        models: The two that stand for the sides; they may be the same.
        ratio: Of second over first, in truth.
        rng: Of launches and rounds.
    """

    name = "replay"
    platform: Mapping[str, str] = {}

    def __init__(
        self,
        trace: Trace,
        models: tuple[str, str],
        ratio: float,
        rng: np.random.Generator,
    ) -> None:
        self._models = models
        self._ratio = ratio
        self._rng = rng
        start = int(rng.integers(len(trace.launches)))
        self._launches = itertools.cycle(trace.launches[start:] + trace.launches[:start])
        self._difference = 0.0 if models[0] == models[1] else trace.log_ratio(*models)
        self.elapsed = 0.0

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """The simulated one."""
        return {"fake": FakeRuntime()}

    def launch(self, runtime: Runtime, settings: RunSettings) -> _ReplayLaunch:
        """Replay the next launch."""
        blocks = next(self._launches)
        first, second = self._models
        rounds = min(len(blocks[first]), len(blocks[second]))
        begin = int(self._rng.integers(rounds))
        one = itertools.cycle(np.exp(np.roll(blocks[first][:rounds], -begin)))
        if first == second:  # both sides take the next block in turn
            return _ReplayLaunch(self, {"first": (one, 1.0), "second": (one, self._ratio)})
        other = itertools.cycle(np.exp(np.roll(blocks[second][:rounds], -begin)))
        factor = self._ratio * math.exp(-self._difference)
        return _ReplayLaunch(self, {"first": (one, 1.0), "second": (other, factor)})

    def state(self) -> Mapping[str, Any]:
        """Nothing that a comparison would ask for."""
        return {}

    def now(self) -> float:
        """Simulated time, in seconds."""
        return self.elapsed

    def wait(self, seconds: float) -> None:
        """Advance it."""
        self.elapsed += seconds


class _ReplayLaunch:
    """Takes the blocks of each side from a source, times a factor."""

    def __init__(
        self, device: ReplayDevice, sources: Mapping[str, tuple[Iterator[float], float]]
    ) -> None:
        self._device = device
        self._sources = sources
        self._last = dict.fromkeys(sources, math.nan)

    def __enter__(self) -> Self:
        self._device.wait(PROCESS_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def load(self, key: str, artefact: Artefact, **how: Any) -> Loaded:
        """Take the time of a load."""
        self._device.wait(LOAD_SECONDS)
        return Loaded(LOAD_SECONDS, LOAD_SECONDS, ("replay",), 0.0)

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        """The next recorded block; two iterations tell its value as well as all of them."""
        source, factor = self._sources[key]
        started_at, seconds = self._device.now(), factor * float(next(source))
        disturbed = math.isnan(seconds)
        # of a disturbed one the time is unknown; it lasts as long as the one before
        wall = self._last[key] if disturbed else seconds
        if math.isnan(wall):
            return self.run(key, iterations=iterations, warmup=warmup)
        self._last[key] = wall
        self._device.wait((warmup + iterations) * wall)
        return Block(
            started_at=started_at,
            wall_seconds=(wall,) * 2,
            cpu_seconds=(wall / 2 if disturbed else wall,) * 2,
            voluntary_switches=(0,) * 2,
            involuntary_switches=(int(disturbed),) * 2,
        )

    def output(self, key: str) -> npt.NDArray[np.float32]:
        """Recordings hold none."""
        raise NotImplementedError
