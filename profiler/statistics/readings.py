"""What the readings of blocks show: iterations that had to wait for a CPU, and a coarse clock.

The headline is the latency of the undisturbed device. An iteration that was preempted shows
itself: the scheduler counts how long the worker's threads were ready and waited
(/proc/PID/task/TID/schedstat), and with one thread wall time runs on while the thread's own CPU
time stands still, which also shows time that a host took from a guest.

Where the settings ask for more threads at a time than there are CPUs, they wait for each other, and
nothing tells such a wait from one that others caused: it is part of the latency then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.devices import Block
from atb.profiler import BlockRecord, Conditions

#: Waiting that counts: a share of the wall time, and what clock reading and interrupts take.
_WAIT_SHARE, _WAIT_SECONDS = 0.02, 20e-6
#: The scheduler's own count has no such noise; beyond it the caches were somebody else's too.
_QUEUE_SHARE, _QUEUE_SECONDS = 0.005, 20e-6
#: Undisturbed iterations from which a block's value is taken without the others.
_FEWEST_UNDISTURBED = 2
#: Of the iterations of a block that has too few undisturbed ones: the rest carry cold caches too.
_FALLBACK_QUANTILE = 0.25


@dataclass(frozen=True, slots=True)
class BlockValue:
    """One number for one block.

    Attributes:
        seconds: Latency of an iteration.
        disturbed: Whether it had to be taken from disturbed iterations.
    """

    seconds: float
    disturbed: bool


def waits_for_itself(conditions: Conditions, states: Iterable[Mapping[str, Any]]) -> bool:
    """Whether more threads compute at a time than there are CPUs for them.

    Args:
        conditions: Streams, threads and affinity; and the CPUs of the device where no state tells
            how many of them may be used.
        states: Readings of the device, such as those of the blocks.
    """
    settings = conditions.settings
    told = [state["usable_cpus"] for state in states if state.get("usable_cpus") is not None]
    cpus = [float(min(told))] if told else []
    if settings.affinity is not None:
        cpus.append(len(settings.affinity))
    logical = dict(conditions.platform).get("logical_cpus", "")
    if not cpus and logical.isdigit():
        cpus.append(int(logical))
    return bool(cpus) and settings.streams * settings.threads > min(cpus)


def undisturbed(block: Block, threads: int) -> npt.NDArray[np.bool_]:
    """Which iterations ran through, bool [iterations].

    With several threads only the scheduler's count of all of them tells; where the system does
    not give it, preemptions of the calling thread are all that is seen.

    Args:
        block: Raw readings.
        threads: That computed an inference.
    """
    wall = np.asarray(block.wall_seconds)
    involuntary: npt.NDArray[np.bool_] = np.asarray(block.involuntary_switches) > 0
    queued = np.zeros(len(wall), dtype=bool)
    if block.wait_seconds:
        share = np.maximum(_QUEUE_SHARE * wall, _QUEUE_SECONDS)
        queued = np.asarray(block.wait_seconds) > share
    if threads > 1:
        # the other threads' CPU time is not seen, so a wait cannot be told from work
        return ~(queued if block.wait_seconds else involuntary)
    waited = wall - np.asarray(block.cpu_seconds) > np.maximum(_WAIT_SHARE * wall, _WAIT_SECONDS)
    # a wait that the thread asked for (an accelerator, a lock) is part of the latency
    asked_for = (np.asarray(block.voluntary_switches) > 0) & ~involuntary
    preempted: npt.NDArray[np.bool_] = waited & ~asked_for & _has_cpu_time(block)
    return ~(preempted | queued)


def _has_cpu_time(block: Block) -> bool:
    cpu = np.asarray(block.cpu_seconds, dtype=float)
    return bool(np.isfinite(cpu).all() and (cpu > 0).all())


def quantile_of(values: npt.NDArray[np.float64], quantile: float) -> float:
    """What `numpy.quantile` gives, for few values in a twentieth of its time.

    A database of a few thousand blocks asks for it ten thousand times whenever it is read.
    """
    ordered = np.sort(values)
    place = quantile * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    low, high = float(ordered[below]), float(ordered[above])
    return low + (place - below) * (high - low)


def block_value(
    block: Block, *, threads: int, quantile: float = 0.5, waits_count: bool = False
) -> BlockValue:
    """The latency that a block shows.

    A quantile of the wall time of the undisturbed iterations. Where there are too few of them, a
    low quantile of all, and the block says that it was disturbed: on-CPU time with one thread
    that never waited by itself, else wall time.

    Args:
        block: Raw readings of at least one iteration.
        threads: That computed an inference.
        quantile: Of the undisturbed iterations; 0.5 is the median.
        waits_count: Whether waiting for a CPU is part of the latency; see `waits_for_itself`.
    """
    wall = np.asarray(block.wall_seconds)
    if waits_count:
        return BlockValue(quantile_of(wall, quantile), disturbed=False)
    clean = wall[undisturbed(block, threads)]
    if len(clean) >= min(_FEWEST_UNDISTURBED, len(wall)):
        return BlockValue(quantile_of(clean, quantile), disturbed=False)
    on_cpu = threads == 1 and _has_cpu_time(block) and not any(block.voluntary_switches)
    basis = np.asarray(block.cpu_seconds) if on_cpu else wall
    return BlockValue(quantile_of(basis, min(quantile, _FALLBACK_QUANTILE)), disturbed=True)


#: A step below this share of the readings is no matter.
_TELLING_SHARE = 0.01
#: How far a reading may lie from a multiple of the step, in steps: what rounding leaves.
_ROUNDING = 0.01
#: Readings that are multiples of one number by chance are fewer.
_FEWEST_READINGS = 10
#: Different readings of a block; a clock whose steps show tells but a few.
_MOST_VALUES = 25


def coarse_step_seconds(blocks: Sequence[BlockRecord]) -> float | None:
    """The step of the clock that timed these blocks, in seconds.

    Returns:
        None where no step shows, or it is too small to matter. One that is as long as every single
        reading does not show.
    """
    if not blocks or len(set(blocks[0].readings.wall_seconds)) > _MOST_VALUES:
        return None
    within = [np.sort(record.readings.wall_seconds) for record in blocks]
    readings = np.concatenate(within)
    # without differences of the same value, computed in two ways
    steps = [
        differences[differences > 1e-9 * readings.max()] for differences in map(np.diff, within)
    ]
    # what takes one of two times, as by a change of the frequency, does so in a few blocks
    varying = sum(len(found) > 0 for found in steps)
    if len(readings) < _FEWEST_READINGS or 2 * varying <= len(blocks):
        return None
    step = float(np.concatenate(steps).min())
    multiples = readings / step
    if step < _TELLING_SHARE * float(np.median(readings)):
        return None
    return step if float(np.abs(multiples - np.round(multiples)).max()) < _ROUNDING else None
