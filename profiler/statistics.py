"""From raw blocks to a latency with an interval: iteration < block < launch, never pooled.

The headline is the latency of the undisturbed device. With one thread an iteration that was
preempted shows itself: wall time runs on while the thread's own CPU time stands still.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from atb.devices.contract import Block
from atb.profiler.record import BlockRecord

__all__ = [
    "CONFIDENCE",
    "DEFAULT_ESTIMATOR",
    "ESTIMATORS",
    "BlockEstimator",
    "BlockValue",
    "Estimate",
    "Estimator",
    "block_value",
    "confidence_at_look",
    "disturbed_share",
    "drift",
    "sentinel_reference",
    "sentinel_seconds",
    "wall_latency",
]

CONFIDENCE = 0.95
#: Wall time beyond CPU time that counts as waiting: a share, and clock reading and interrupts.
_WAIT_SHARE, _WAIT_SECONDS = 0.02, 20e-6
#: Undisturbed iterations from which a block's value is taken without the others.
_FEWEST_UNDISTURBED = 2
#: Of the iterations of a block that has too few undisturbed ones: the rest carry cold caches too.
_FALLBACK_QUANTILE = 0.25
#: The sentinel's undisturbed level: low enough to be stable, high enough not to be an accident.
_REFERENCE_QUANTILE = 0.25


@dataclass(frozen=True, slots=True)
class BlockValue:
    """One number for one block.

    Attributes:
        seconds: Latency of an iteration.
        disturbed: Whether it had to be taken from disturbed iterations.
    """

    seconds: float
    disturbed: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """A latency and its confidence interval, in seconds."""

    seconds: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width as a share of the latency."""
        return (self.high - self.low) / 2 / self.seconds


class Estimator(Protocol):
    """A way from the blocks of one architecture to its latency; the record says which was used."""

    @property
    def name(self) -> str:
        """What the record says."""

    def estimate(
        self,
        blocks: Sequence[BlockRecord],
        *,
        threads: int,
        reference: float | None,
        confidence: float,
    ) -> Estimate:
        """Estimate from at least one block.

        Args:
            blocks: Of one architecture in one campaign.
            threads: That computed an inference.
            reference: The sentinel's undisturbed level in seconds; None where unknown.
            confidence: Of the interval, such as 0.95.
        """


def _undisturbed(block: Block, threads: int) -> npt.NDArray[np.bool_]:
    """Which iterations ran through, bool [iterations]."""
    involuntary: npt.NDArray[np.bool_] = np.asarray(block.involuntary_switches) > 0
    if threads > 1:
        # the other threads' CPU time is not seen, so a wait cannot be told from work
        return ~involuntary
    wall, cpu = np.asarray(block.wall_seconds), np.asarray(block.cpu_seconds)
    waited = wall - cpu > np.maximum(_WAIT_SHARE * wall, _WAIT_SECONDS)
    # a wait that the thread asked for (an accelerator, a lock) is part of the latency
    asked_for = (np.asarray(block.voluntary_switches) > 0) & ~involuntary
    preempted: npt.NDArray[np.bool_] = waited & ~asked_for & _has_cpu_time(block)
    return ~preempted


def _has_cpu_time(block: Block) -> bool:
    cpu = np.asarray(block.cpu_seconds, dtype=float)
    return bool(np.isfinite(cpu).all() and (cpu > 0).all())


def block_value(block: Block, *, threads: int, quantile: float = 0.5) -> BlockValue:
    """The latency that a block shows.

    A quantile of the wall time of the undisturbed iterations. Where there are too few of them, a
    low quantile of all, and the block says that it was disturbed: on-CPU time with one thread
    that never waited by itself, else wall time.

    Args:
        block: Raw readings of at least one iteration.
        threads: That computed an inference.
        quantile: Of the undisturbed iterations; 0.5 is the median.
    """
    wall = np.asarray(block.wall_seconds)
    clean = wall[_undisturbed(block, threads)]
    if len(clean) >= min(_FEWEST_UNDISTURBED, len(wall)):
        return BlockValue(float(np.quantile(clean, quantile)), disturbed=False)
    on_cpu = threads == 1 and _has_cpu_time(block) and not any(block.voluntary_switches)
    basis = np.asarray(block.cpu_seconds) if on_cpu else wall
    return BlockValue(float(np.quantile(basis, min(quantile, _FALLBACK_QUANTILE))), disturbed=True)


def sentinel_seconds(record: BlockRecord, *, threads: int) -> float | None:
    """The sentinel's latency around a block: geometric mean of before and after."""
    around = [b for b in (record.sentinel_before, record.sentinel_after) if b is not None]
    if not around:
        return None
    logs = [math.log(block_value(block, threads=threads).seconds) for block in around]
    return math.exp(sum(logs) / len(logs))


def sentinel_reference(records: Iterable[BlockRecord], *, threads: int) -> float | None:
    """The level to which the sentinel returns when nothing disturbs, in seconds."""
    found = [sentinel_seconds(record, threads=threads) for record in records]
    values = [seconds for seconds in found if seconds is not None]
    return float(np.quantile(values, _REFERENCE_QUANTILE)) if values else None


def _by_launch(blocks: Sequence[BlockRecord]) -> Mapping[int, list[BlockRecord]]:
    launches: dict[int, list[BlockRecord]] = {}
    for record in sorted(blocks, key=lambda record: (record.launch, record.block)):
        launches.setdefault(record.launch, []).append(record)
    return launches


@dataclass(frozen=True, slots=True)
class BlockEstimator:
    """A quantile in a block, corrected by the sentinel; median in a launch; mean of launches.

    The interval is Student's over launches, whose values hold the spread of blocks and iterations
    below them; of a single launch it is Student's over blocks, which leaves out how launches
    differ. All on logarithms, since disturbances multiply.

    Attributes:
        name: What the record says.
        quantile: Of the undisturbed iterations of a block.
        sentinel_exponent: Power of (reference / sentinel) that multiplies a block; 0 leaves it.
    """

    name: str
    quantile: float
    sentinel_exponent: float

    def estimate(
        self,
        blocks: Sequence[BlockRecord],
        *,
        threads: int,
        reference: float | None,
        confidence: float,
    ) -> Estimate:
        """See `Estimator`."""
        launches = [
            self._logs(launch, threads, reference) for launch in _by_launch(blocks).values()
        ]
        values = np.array([np.median(logs) for logs in launches])
        spread = values if len(values) > 1 else launches[0]
        center = float(values.mean())
        if len(spread) > 1:
            half = _student_half_width(spread, confidence)
            return Estimate(math.exp(center), math.exp(center - half), math.exp(center + half))
        wall = blocks[0].readings.wall_seconds
        seconds = math.exp(center)
        return Estimate(seconds, min(seconds, *wall), max(seconds, *wall))

    def _logs(
        self, launch: Sequence[BlockRecord], threads: int, reference: float | None
    ) -> npt.NDArray[np.float64]:
        """Logarithms of the corrected values, of the undisturbed blocks where there are any."""
        values = [
            block_value(record.readings, threads=threads, quantile=self.quantile)
            for record in launch
        ]
        logs = np.log([value.seconds for value in values])
        if reference is not None and self.sentinel_exponent:
            around = [sentinel_seconds(record, threads=threads) for record in launch]
            ratio = np.array([1.0 if s is None else reference / s for s in around])
            logs += self.sentinel_exponent * np.log(ratio)
        disturbed = np.array([value.disturbed for value in values])
        return logs if disturbed.all() else logs[~disturbed]


def _student_half_width(values: npt.NDArray[np.float64], confidence: float) -> float:
    from scipy.special import stdtrit

    freedom = len(values) - 1
    quantile = float(stdtrit(freedom, (1 + confidence) / 2))
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


#: Between campaigns of fifteen short blocks in three launches, the first and the second repeated
#: equally well and the pooled median nearly twice as badly; the first stands load better.
ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        BlockEstimator("median-sentinel-0.6", quantile=0.5, sentinel_exponent=0.6),
        BlockEstimator("minimum", quantile=0.0, sentinel_exponent=0.0),
        BlockEstimator("median", quantile=0.5, sentinel_exponent=0.0),
    )
}
DEFAULT_ESTIMATOR = ESTIMATORS["median-sentinel-0.6"]


def confidence_at_look(look: int) -> float:
    """Confidence of the interval at the n-th look of a stop rule; 0 where nothing is looked at.

    Who stops when an interval is narrow enough, stops at lucky ones. The error is therefore spent
    over the looks as 1/2, 1/6, 1/12, ..., whose sum never exceeds the whole (Bonferroni).
    """
    if look == 0:
        return CONFIDENCE
    return 1 - (1 - CONFIDENCE) / (look * (look + 1))


def wall_latency(blocks: Sequence[BlockRecord]) -> float:
    """The latency under the load that there was: median over blocks of their median wall time."""
    return float(np.median([np.median(record.readings.wall_seconds) for record in blocks]))


def disturbed_share(blocks: Sequence[BlockRecord], *, threads: int) -> tuple[int, int]:
    """How many blocks had too few undisturbed iterations, and how many there are."""
    values = [block_value(record.readings, threads=threads) for record in blocks]
    return sum(value.disturbed for value in values), len(values)


def drift(blocks: Sequence[BlockRecord], *, threads: int, reference: float | None) -> float | None:
    """How far the sentinel moved while these blocks were timed, as a share.

    The larger of two: between the launches, and of all of them against the reference.
    """
    launches = []
    for launch in _by_launch(blocks).values():
        around = [sentinel_seconds(record, threads=threads) for record in launch]
        values = [seconds for seconds in around if seconds is not None]
        if values:
            launches.append(float(np.median(values)))
    if not launches:
        return None
    between = max(launches) / min(launches) - 1
    level = 0.0 if reference is None else float(np.median(launches)) / reference - 1
    return max(between, level)
