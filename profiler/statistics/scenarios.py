"""What a measurement tells beside its latency: requests in a second, or latency over minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atb.profiler import BlockRecord


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
