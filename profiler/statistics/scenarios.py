"""What the ways of running a model one after another mean for a campaign.

`hot-loop` is corrected by the sentinel and takes what the undisturbed device can do. The others ask
for something else than that, so that their latency is a plain median: a fixed rate and a single
shot for a device that sleeps in between, a cold start for the first answer of a fresh process,
throughput for many requests at a time, and sustained for what heat leaves of it after minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atb.profiler import BlockRecord, Conditions
from atb.profiler.statistics.estimators import DEFAULT_ESTIMATOR, ESTIMATORS, Estimator
from atb.profiler.statistics.preemption import waits_for_itself

__all__ = ["SustainedCurve", "estimator_for", "plan_of", "requests_per_second", "shares_workers"]

#: How long a sustained scenario runs where nothing is said.
SUSTAINED_SECONDS = 120.0
_COLD_STARTS = 10
#: A block of concurrent streams is long, since they do not end at the same time.
_THROUGHPUT_BLOCK_SECONDS = 0.5


def estimator_for(conditions: Conditions, blocks: Iterable[BlockRecord]) -> Estimator:
    """How a latency is estimated under conditions.

    Args:
        conditions: Whose scenario and threads.
        blocks: Whose states tell how many CPUs there were.
    """
    name = DEFAULT_ESTIMATOR.name if conditions.settings.scenario == "hot-loop" else "median"
    itself = waits_for_itself(conditions, (record.state for record in blocks))
    return ESTIMATORS[f"{name}-with-waits" if itself else name]


def shares_workers(scenario: str) -> bool:
    """Whether a worker may hold several models; else each has one of its own."""
    return scenario not in ("cold-start", "sustained")


def plan_of(scenario: str, *, duration_seconds: float | None = None) -> dict[str, Any]:
    """What a scenario changes in a `Plan`, by name.

    Args:
        scenario: One of `atb.devices.settings.SCENARIOS`.
        duration_seconds: Of a sustained run.
    """
    if scenario == "sustained":
        blocks = math.ceil(duration_seconds or SUSTAINED_SECONDS)
        return {
            "launches": 1,
            "blocks": blocks,
            "block_seconds": 1.0,
            "repeats": 0,
            "wait_seconds": 0.0,
        }
    if scenario == "cold-start":
        return {"launches": _COLD_STARTS, "blocks": 1, "repeats": 0}
    if scenario == "throughput":
        return {"block_seconds": _THROUGHPUT_BLOCK_SECONDS, "repeats": 0}
    return {} if scenario == "hot-loop" else {"repeats": 0}


def requests_per_second(blocks: Sequence[BlockRecord]) -> float | None:
    """Median over blocks of the requests that ended in a second; None where spans are not known."""
    rates = [
        len(record.readings.wall_seconds) / record.readings.span_seconds
        for record in blocks
        if record.readings.span_seconds
    ]
    return float(np.median(rates)) if rates else None


@dataclass(frozen=True, slots=True)
class SustainedCurve:
    """Latency over the time of a sustained run.

    Attributes:
        at_seconds: Since the run began, one for each block.
        latency_seconds: Median of the block.
    """

    at_seconds: tuple[float, ...]
    latency_seconds: tuple[float, ...]

    @classmethod
    def of(cls, blocks: Sequence[BlockRecord]) -> SustainedCurve:
        """The curve of the blocks of one run."""
        ordered = sorted(blocks, key=lambda record: record.readings.started_at)
        begun = ordered[0].readings.started_at
        return cls(
            tuple(record.readings.started_at - begun for record in ordered),
            tuple(float(np.median(record.readings.wall_seconds)) for record in ordered),
        )

    @property
    def sustained_over_first(self) -> float:
        """How many times slower the last quarter is than the first tenth."""
        values = np.array(self.latency_seconds)
        first = values[: max(1, len(values) // 10)]
        last = values[-max(1, len(values) // 4) :]
        return float(np.median(last) / np.median(first))
