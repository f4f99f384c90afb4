"""How other tools measure latency, by our worker: recipes as published, and their statistics.

Read in their code: HAT (latency_dataset.py: one process for all, 5 warm-ups, 300 runs, mean of
those between the 10th and the 90th percentile), AutoTinyBERT (inference_time_evaluation.py: 10
runs, the first dropped, mean), optimum-benchmark (10 warm-ups, then until there are 10 runs and
10 seconds, mean).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from atb.devices.contract import Device, Runtime, WorkerSession
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

Runs = npt.NDArray[np.float64]


def trimmed_mean(runs: Runs) -> float:
    """Mean of the runs between the 10th and the 90th percentile, as HAT takes it."""
    ordered = np.sort(runs)
    return float(ordered[int(0.1 * len(runs)) : max(int(0.9 * len(runs)), 1)].mean())


#: Statistics that other tools take of their runs.
STATISTICS: Mapping[str, Callable[[Runs], float]] = {
    "median": lambda runs: float(np.median(runs)),
    "trimmed mean": trimmed_mean,
    "mean": lambda runs: float(runs.mean()),
    "minimum": lambda runs: float(runs.min()),
}


@dataclass(frozen=True)
class Recipe:
    """How another tool times one model.

    Attributes:
        warmup: Runs that are thrown away.
        fewest: Timed runs at least.
        seconds: Timed seconds at least.
        statistic: Name of what is made of the runs.
        dropped: Runs at the begin that are left out.
    """

    warmup: int
    fewest: int
    seconds: float
    statistic: str
    dropped: int = 0

    def run(self, worker: WorkerSession, key: str) -> Runs:
        """Time one loaded model."""
        runs: list[float] = []
        warmup, begun = self.warmup, time.monotonic()
        while len(runs) < self.fewest or time.monotonic() - begun < self.seconds:
            left = max(self.fewest - len(runs), 10)
            runs += worker.run(key, iterations=left, warmup=warmup).wall_seconds
            warmup = 0
        return np.array(runs[self.dropped :])

    def value(self, runs: Runs) -> float:
        """The number that the tool would publish, in seconds."""
        return STATISTICS[self.statistic](runs)


RECIPES = {
    "HAT": Recipe(5, 300, 0.0, "trimmed mean"),
    "AutoTinyBERT": Recipe(0, 10, 0.0, "mean", dropped=1),
    "optimum-benchmark": Recipe(10, 10, 10.0, "mean"),
}


def time_by_recipe(
    device: Device,
    runtime: Runtime,
    architectures: Sequence[Architecture],
    recipe: Callable[[Architecture], Recipe],
) -> Iterator[tuple[Architecture, Runs, float]]:
    """One process, one model after the other.

    Yields:
        The architecture, its runs in seconds, and what it took with loading, in seconds.
    """
    settings = RunSettings()
    with tempfile.TemporaryDirectory() as folder:
        artefacts = {a: runtime.build(a, settings, Path(folder)) for a in architectures}
        with device.launch(runtime, settings) as worker:
            for architecture, artefact in artefacts.items():
                begun = time.monotonic()
                worker.load(str(architecture), artefact)
                runs = recipe(architecture).run(worker, str(architecture))
                yield architecture, runs, time.monotonic() - begun
