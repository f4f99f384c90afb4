"""What one inference uses of the whole device's energy: by a counter, or else out of a battery.

A battery's gauge moves in steps of some joules, and no sooner than every few seconds, while a block
uses less than one step: most blocks see no fall, and a few see one that others caused in part. So
all that fell is divided by all inferences, and the result is told only where its standard error,
as the parts differ, is small. That takes a fine gauge, or a sustained run of minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from atb.devices.host import energy_between
from atb.profiler import BlockRecord

#: Parts of which the spread says how well their ratio is known.
_FEWEST_SPANS = 5
#: Standard error of an energy that is told, as a share of it.
_MOST_ERROR = 0.1
#: Of the time of a block: the most that may lie before the next one of an uninterrupted run.
_MOST_GAP = 0.25


@dataclass(frozen=True, slots=True)
class _Span:
    """Energy that was used while so many inferences ran."""

    joules: float
    inferences: int


def energy_of_inference(blocks: Sequence[BlockRecord]) -> float | None:
    """Joules of one inference; None where nothing tells them, or not well enough.

    Args:
        blocks: Of one subject in one campaign.
    """
    counted = [
        _Span(used, _inferences(record))
        for record in blocks
        if (used := energy_between(record.state, record.state_after)) is not None
    ]
    if counted and all(span.joules > 0 for span in counted):
        return median(span.joules / span.inferences for span in counted)
    return _known_ratio(counted or _battery_spans(blocks))


def _inferences(record: BlockRecord) -> int:
    return len(record.readings.wall_seconds) + len(record.readings.warmup_seconds)


def _known_ratio(spans: Sequence[_Span]) -> float | None:
    """All energy over all inferences, where the spans agree (Cochran, 1977, chapter 6)."""
    joules, inferences = (sum(s.joules for s in spans), sum(s.inferences for s in spans))
    if len(spans) < _FEWEST_SPANS or joules <= 0:
        return None
    ratio = joules / inferences
    squares = sum((span.joules - ratio * span.inferences) ** 2 for span in spans)
    error = math.sqrt(squares * len(spans) / (len(spans) - 1)) / inferences
    return ratio if error <= _MOST_ERROR * ratio else None


def _battery_spans(blocks: Sequence[BlockRecord]) -> list[_Span]:
    spans: list[_Span] = []
    for run in _runs(sorted(blocks, key=lambda record: record.readings.started_at)):
        spans += _between_falls(run) if len(run) > 1 else [_Span(_fall(run[0]), _inferences(*run))]
    return spans


def _runs(blocks: Iterable[BlockRecord]) -> list[list[BlockRecord]]:
    """Blocks out of the battery, in runs between which nothing else took much of the time."""
    runs: list[list[BlockRecord]] = []
    for record in blocks:
        if not (_discharging(record.state) and _discharging(record.state_after)):
            continue
        begin, end = _times(record)
        last = runs[-1][-1] if runs else None
        if (
            last is None
            or last.launch != record.launch
            or begin - _times(last)[1] > _MOST_GAP * (end - begin)
        ):
            runs.append([])
        runs[-1].append(record)
    return runs


def _between_falls(run: Sequence[BlockRecord]) -> list[_Span]:
    """A run cut where the gauge fell, so that what fell from one fall to the next is whole steps.

    What was used between the blocks, by the sentinel above all, is taken off by its time.
    """
    spans: list[_Span] = []
    begun: int | None = None
    for place in range(1, len(run)):
        left = run[place].state["battery_joules"]
        fell = run[place - 1].state["battery_joules"] - left
        if not fell:
            continue
        if begun is not None:
            part = run[begun:place]
            own = sum(end - begin for begin, end in map(_times, part))
            whole = _times(run[place])[0] - _times(run[begun])[0]
            used = run[begun].state["battery_joules"] - left
            spans.append(_Span(used * min(own / whole, 1.0), sum(map(_inferences, part))))
        begun = place
    return spans


def _fall(record: BlockRecord) -> float:
    return float(record.state["battery_joules"] - record.state_after["battery_joules"])


def _times(record: BlockRecord) -> tuple[float, float]:
    """When a block began, with its warm-up, and when it ended, in Unix seconds."""
    readings = record.readings
    span = readings.span_seconds or sum(readings.wall_seconds)
    return readings.started_at - sum(readings.warmup_seconds), readings.started_at + span


def _discharging(state: Mapping[str, Any]) -> bool:
    """Whether the device runs out of its batteries, of which some may rest."""
    doing = str(state.get("battery_state") or "").split(",")
    return (
        state.get("battery_joules") is not None
        and "Discharging" in doing
        and "Charging" not in doing
        and state.get("charger") != "connected"
    )
