"""A device that replays recorded noise, so that whole comparisons run on it in no time.

The recording (`record_noise.py`) holds blocks of several models that took turns in fresh workers.
Two of its models become the two sides: what they share with each other and what each has of its
own in a launch is as it was; their long-run ratio is taken out and another one put in.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from atb.devices.contract import Artefact, Block, Loaded, Runtime
from atb.devices.fake import FakeRuntime
from atb.devices.settings import RunSettings

__all__ = ["ReplayDevice", "Trace", "load_trace"]

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

    def level(self, model: str) -> float:
        """Log latency of a model in the long run."""
        return float(np.mean([np.nanmedian(launch[model]) for launch in self.launches]))

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

    Each launch takes the next launch of the recording and begins at a random round of it. Where
    the two sides are the same model, which recorded model stands for which side is drawn anew for
    each launch, as the order of loading is for a real one.

    Args:
        trace: The recording.
        models: The two that stand for the sides.
        ratio: Of second over first, in truth.
        same: Whether the sides are the same model, up to `ratio`.
        rng: Of launches, rounds and sides.
    """

    name = "replay"
    platform: Mapping[str, str] = {}

    def __init__(
        self,
        trace: Trace,
        models: tuple[str, str],
        ratio: float,
        *,
        same: bool,
        rng: np.random.Generator,
    ) -> None:
        self._models = models
        self._ratio = ratio
        self._same = same
        self._rng = rng
        start = int(rng.integers(len(trace.launches)))
        self._launches = itertools.cycle(trace.launches[start:] + trace.launches[:start])
        level, difference = trace.level(models[0]), trace.log_ratio(*models)
        self._levels = {models[0]: level, models[1]: level + difference}
        self._base = float(np.exp(level + difference / 2))
        self.elapsed = 0.0

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """The simulated one."""
        return {"fake": FakeRuntime()}

    def launch(self, runtime: Runtime, settings: RunSettings) -> _ReplayLaunch:
        """Replay the next launch."""
        models = self._models
        if self._same and self._rng.integers(2):
            models = models[::-1]
        blocks = next(self._launches)
        begin = int(self._rng.integers(min(len(blocks[model]) for model in models)))
        values = {
            side: factor * self._base * np.exp(np.roll(blocks[model], -begin) - self._levels[model])
            for side, model, factor in zip(
                ("first", "second"), models, (1.0, self._ratio), strict=True
            )
        }
        return _ReplayLaunch(self, values)

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
    def __init__(self, device: ReplayDevice, values: Mapping[str, npt.NDArray[np.float64]]) -> None:
        self._device = device
        self._blocks = {side: itertools.cycle(found) for side, found in values.items()}
        self._typical = {side: float(np.nanmedian(found)) for side, found in values.items()}

    def __enter__(self) -> Self:
        self._device.wait(PROCESS_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def load(self, key: str, artefact: Artefact) -> Loaded:
        """Take the time of a load."""
        self._device.wait(LOAD_SECONDS)
        return Loaded(LOAD_SECONDS, self._typical[key], ("replay",), 0.0)

    def run(self, key: str, *, iterations: int, warmup: int = 0) -> Block:
        """The next recorded block; two iterations tell its value as well as all of them."""
        started_at, seconds = self._device.now(), float(next(self._blocks[key]))
        disturbed = bool(np.isnan(seconds))
        wall = 2 * self._typical[key] if disturbed else seconds
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
