"""What a measurement can be flagged for: what each flag means, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from atb.profiler import BlockRecord

__all__ = ["Flag", "FlagKind", "advice_of", "coarse_step_seconds"]


class FlagKind(Enum):
    """Why a number is to be distrusted; the value says what it means and what to do."""

    FEW_LAUNCHES = (
        "launches are missing, so that the interval does not show how launches differ: run the "
        "command again to complete the campaign"
    )
    PREEMPTED = (
        "most iterations waited for a CPU: end other programs, or give fewer --threads than CPUs"
    )
    COARSE_CLOCK = (
        "the device's clock has steps as long as a part of an iteration: measure larger models or "
        "a larger --batch"
    )
    EMULATED = "a program stood in for the processor: compare such latencies with each other only"
    OFF_LEVEL = (
        "the machine was faster or slower than usual, and the latency is corrected for it: measure "
        "again when it has cooled down or other programs have ended"
    )
    CACHE_CONTENTION = (
        "other tenants used the shared cache, and the latency is corrected for it: measure again "
        "when the machine is idle"
    )
    WIDE_INTERVAL = (
        "the interval is wider than wanted: run the command again with --within, or with a larger "
        "--budget"
    )
    LAUNCHES_LEFT_OUT = (
        "whole launches do not count, since too few of their pairs ran undisturbed: end other "
        "programs and compare again"
    )

    @property
    def advice(self) -> str:
        """What it means, and what to do."""
        return self.value


@dataclass(frozen=True, slots=True)
class Flag:
    """One reason to distrust one number.

    Attributes:
        kind: What it is.
        text: The same in a few words with its figures, such as `3 of 15 blocks preempted`.
    """

    kind: FlagKind
    text: str


def advice_of(flags: Iterable[Flag]) -> list[str]:
    """The advice on flags, once for each kind, in the order of `FlagKind`."""
    kinds = {flag.kind for flag in flags}
    return [kind.advice for kind in FlagKind if kind in kinds]


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
