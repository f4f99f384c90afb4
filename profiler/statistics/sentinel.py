"""Two fixed models, timed beside every block, that tell how fast the machine is now.

The sentinel's level is what it returns to when nothing disturbs. A running median over some seconds
of its ratio to that level (Tukey, Exploratory Data Analysis, 1977) shows steps and slow drift alike
and is moved by no burst shorter than half the window: where it leaves the band the machine is in
another state, and what was timed there is not comparable with the rest.

The second sentinel just fits the cache which all cores of a processor share. Other tenants push it
out, and then it is slow while the first one, which lives in a core's own caches, changes little.
How much of that a model shares depends on the size of its weights: none where they fit a core's own
caches too, all where they are as many as the second sentinel's, and less where they exceed the
shared cache anyway. What is left is shown by `benchmarks/measuring/repeatability.py`.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.devices import Block
from atb.models import Architecture
from atb.profiler import BlockRecord, Subject
from atb.profiler.statistics.readings import block_value

#: Width of the running median; a fifth of the shortest step that must be found.
WINDOW_SECONDS = 4.0
#: Readings in a window below which its median says nothing.
_FEWEST_READINGS = 5
#: How far the running median may lie from the level, as a share.
BAND = 0.015
#: Of a sentinel's block: low, so that short disturbances do not count.
_BLOCK_QUANTILE = 0.25
#: Of the sentinel's blocks: low enough to be stable, high enough not to be an accident.
LEVEL_QUANTILE = 0.25
#: Blocks from which a level is taken, about a minute of measuring, and how few of them may do.
LEVEL_BLOCKS = 500
_FEWEST_LEVEL_BLOCKS = 100
#: Blocks of a database from which its level is taken; a slow first state shows long before.
MOST_LEVEL_BLOCKS = 20 * LEVEL_BLOCKS


def sentinel_seconds(record: BlockRecord, *, threads: int) -> float | None:
    """The sentinel's latency around a block: geometric mean of before and after."""
    return mean_seconds(record.sentinel_before, record.sentinel_after, threads=threads)


def mean_seconds(*blocks: Block | None, threads: int) -> float | None:
    """Geometric mean of the values of the sentinel's blocks; None where there are none."""
    around = [block for block in blocks if block is not None]
    if not around:
        return None
    logs = [
        math.log(block_value(block, threads=threads, quantile=_BLOCK_QUANTILE).seconds)
        for block in around
    ]
    return math.exp(sum(logs) / len(logs))


def sentinel_level(readings: Iterable[float | None]) -> float | None:
    """The level to which the sentinel returns when nothing disturbs, in seconds.

    Of the first blocks, so that a latency stays what it was while more is measured; unless later
    ones stay below that by more than the band: then the first were timed in a slow state.

    Args:
        readings: Of `sentinel_seconds`, in the order in which they were timed.
    """
    values = [seconds for seconds in readings if seconds is not None]
    level: float | None = None
    for start in range(0, len(values), LEVEL_BLOCKS):
        stretch = values[start : start + LEVEL_BLOCKS]
        if level is not None and len(stretch) < _FEWEST_LEVEL_BLOCKS:
            break
        own = float(np.quantile(stretch, LEVEL_QUANTILE))
        level = own if level is None or own * (1 + BAND) < level else level
    return level


def running_median(
    times: Sequence[float], values: Sequence[float], *, window: float
) -> npt.NDArray[np.float64]:
    """Median of the values within half a window of each, float64[n].

    Args:
        times: Rising; seconds, or plain row numbers.
        values: As many.
        window: In the unit of the times.
    """
    rising = list(times)
    array = np.asarray(values, dtype=float)
    return np.array(
        [
            np.median(
                array[bisect_left(rising, t - window / 2) : bisect_right(rising, t + window / 2)]
            )
            for t in rising
        ]
    )


def slowdowns(records: Sequence[BlockRecord], *, threads: int, level: float | None) -> list[float]:
    """How much slower than its level the machine was around each record, 1.0 for not at all.

    Args:
        records: Of one campaign, all subjects, in any order.
        threads: That computed an inference.
        level: The sentinel's undisturbed level in seconds; None where unknown: nothing is slower.

    Returns:
        The running median of the sentinel over its level, one for each record.
    """
    found = [1.0] * len(records)
    timed = sorted(
        (record.readings.started_at, position, seconds)
        for position, record in enumerate(records)
        if (seconds := sentinel_seconds(record, threads=threads)) is not None
    )
    if level is None or not timed:
        return found
    medians = running_median(
        [at for at, _, _ in timed], [s for _, _, s in timed], window=WINDOW_SECONDS
    )
    for (_, position, _), median in zip(timed, medians, strict=True):
        found[position] = float(median) / level
    return found


def is_shifted(slowdown: float) -> bool:
    """Whether a machine that much slower (or faster) is in another state."""
    return abs(math.log(slowdown)) > math.log1p(BAND)


class DriftWatch:
    """Tells while it happens that the machine has left its level: the same rule, looking back.

    Args:
        level: The sentinel's undisturbed level in seconds; None takes it from the first readings.
        window_seconds: Of the running median.
        band: How far it may lie from the level, as a share.
    """

    def __init__(
        self,
        level: float | None,
        *,
        window_seconds: float = WINDOW_SECONDS,
        band: float = BAND,
    ) -> None:
        self._level = level
        self._window_seconds = window_seconds
        self._band = math.log1p(band)
        self._recent: deque[tuple[float, float]] = deque()
        self._first: list[float] = []

    def add(self, at: float, seconds: float) -> bool:
        """Take a reading of the sentinel, and say whether the machine is off its level now.

        Args:
            at: When it was taken, in seconds; later than the one before.
            seconds: The reading.
        """
        if self._level is None:
            self._first.append(seconds)
            if len(self._first) < _FEWEST_LEVEL_BLOCKS:
                return False
            self._level = float(np.quantile(self._first, LEVEL_QUANTILE))
        self._recent.append((at, math.log(seconds / self._level)))
        while self._recent[0][0] < at - self._window_seconds:
            self._recent.popleft()
        if len(self._recent) < _FEWEST_READINGS:
            return False
        return abs(float(np.median([ratio for _, ratio in self._recent]))) > self._band


#: Sixteen megabytes of weights in widths that are no powers of two; five milliseconds. A database
#: says nothing of which one it was: another one would need another format.
CACHE_SENTINEL = Architecture(3, 352, 4, 128, 1440)
#: Whose median is the level, with presses and lulls around it; about 600 blocks have so many.
LEVEL_READINGS = 100
#: Readings so many seconds around a block tell the pressure on it; else the nearest one.
_WINDOW_SECONDS = 3.0
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
    """How much other tenants slowed the shared cache, and what it means for one model.

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
        level: Of `cache_level`; None where unknown: nothing is corrected.
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
