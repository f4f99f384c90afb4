"""The second sentinel: a model that just fits the cache which all cores of a processor share.

Neighbours push it out, and then it is slow while the first sentinel, which lives in a core's own
caches, notices little. How much of that a model shares depends on the size of its weights: none
where they fit a core's own caches too, all where they are as many as the second sentinel's, and
less where they exceed the shared cache anyway. What is left is shown by
`benchmarks/measuring/repeatability.py`.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.models import Architecture
from atb.profiler import BlockRecord, Subject
from atb.profiler.statistics.preemption import block_value
from atb.profiler.statistics.sentinel import mean_seconds

__all__ = [
    "CACHE_SENTINEL",
    "LEVEL_READINGS",
    "CacheContention",
    "cache_level",
    "cache_log_slowdowns",
    "cache_ratio",
    "cache_share",
    "size_ratio",
]

#: Sixteen megabytes of weights in widths that are no powers of two; five milliseconds. A database
#: says nothing of which one it was: another one would need another format.
CACHE_SENTINEL = Architecture(3, 352, 4, 128, 1440)
#: Whose median is the level, with presses and lulls around it; about 600 blocks have so many.
LEVEL_READINGS = 100
#: Readings so many seconds around a block tell the pressure on it; else the nearest one.
_WINDOW_SECONDS = 3.0
_BLOCK_QUANTILE = 0.25
#: Weights of a model over those of the second sentinel -> share of its slowing down. Seen on one
#: processor (EPYC, 512 kB for each core, a slice of 32 MB shared):
#: benchmarks/measuring/cache_shares.py.
_SHARES = (
    (0.45, 0.0), (0.55, 0.15), (0.75, 0.85), (1.0, 1.0), (1.5, 0.95), (2.8, 0.35), (5.5, 0.2),
    (11.0, 0.15),
)  # fmt: skip
#: How far models of a size differ in that, as a share of the correction.
SHARE_DEVIATION = 0.2
_BYTES = {"fp32": 4, "int8": 1}


@dataclass(frozen=True, slots=True)
class CacheContention:
    """How hard other tenants pressed on the shared cache, and what it means for one model.

    Attributes:
        share: Of the second sentinel's slowing down that the model shows.
        logs: By launch and block, logarithm of how much slower the second sentinel was.
    """

    share: float
    logs: Mapping[tuple[int, int], float]

    def of(self, record: BlockRecord) -> float:
        """Logarithm of how much slower the model was in this block for it."""
        return self.share * self.logs.get((record.launch, record.block), 0.0)


def cache_share(subject: Subject, precision: str) -> float:
    """The share of the second sentinel's slowing down that a model shows, from 0 to 1.

    A model file of the user's does not say what of it is read; it is taken as of middling size.
    """
    if not isinstance(subject, Architecture):
        return 0.5
    sizes, shares = (list(column) for column in zip(*_SHARES, strict=True))
    return float(np.interp(size_ratio(subject, precision), sizes, shares))


def size_ratio(architecture: Architecture, precision: str) -> float:
    """Weights of a model over those of the second sentinel, in bytes."""
    return _weight_bytes(architecture, precision) / _weight_bytes(CACHE_SENTINEL, "fp32")


def _weight_bytes(architecture: Architecture, precision: str) -> int:
    """Of the layers; of the embeddings an inference reads but a few rows."""
    layers = architecture.parameters(vocabulary_size=1) - architecture.hidden
    return _BYTES[precision] * layers


def cache_ratio(record: BlockRecord, *, threads: int) -> float | None:
    """The second sentinel over the first one; None where it was not timed then."""
    before = mean_seconds(record.sentinel_before, threads=threads)
    if record.cache_sentinel is None or before is None:
        return None
    value = block_value(record.cache_sentinel, threads=threads, quantile=_BLOCK_QUANTILE)
    return value.seconds / before


def cache_level(ratios: Iterable[float | None]) -> float | None:
    """What `cache_ratio` usually is: of the first readings, so that it stays what it was.

    Args:
        ratios: In the order in which they were timed.
    """
    known = (ratio for ratio in ratios if ratio is not None)
    first = list(itertools.islice(known, LEVEL_READINGS))
    return float(np.median(first)) if first else None


def cache_log_slowdowns(
    records: Sequence[BlockRecord], *, threads: int, level: float | None
) -> list[float]:
    """Logarithm of how much slower the second sentinel was around each record.

    Args:
        records: Of one campaign, all subjects, in any order.
        threads: That computed an inference.
        level: Of `cache_level`; None where unknown: nobody presses.
    """
    readings = sorted(
        (record.readings.started_at, math.log(ratio / level))
        for record in records
        if level is not None and (ratio := cache_ratio(record, threads=threads)) is not None
    )
    if not readings:
        return [0.0] * len(records)
    times, logs = [at for at, _ in readings], np.array([log for _, log in readings])
    return [_around(record.readings.started_at, times, logs) for record in records]


def _around(at: float, times: Sequence[float], logs: npt.NDArray[np.float64]) -> float:
    begin = bisect_left(times, at - _WINDOW_SECONDS)
    end = bisect_right(times, at + _WINDOW_SECONDS)
    if begin < end:
        return float(np.median(logs[begin:end]))
    near = min(max(begin, 1), len(times) - 1) if len(times) > 1 else 0
    if near and abs(times[near - 1] - at) < abs(times[near] - at):
        near -= 1
    return float(logs[near])
