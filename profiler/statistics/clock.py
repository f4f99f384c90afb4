"""A device's clock, where its steps are so large that they show in the readings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atb.profiler import BlockRecord

__all__ = ["coarse_step_seconds"]

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
