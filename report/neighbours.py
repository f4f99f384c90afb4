"""Known architectures on this device: measured where possible, else predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atb.models.architecture import Architecture
from atb.models.known import KNOWN
from atb.predictor.predictor import LatencyPredictor
from atb.profiler.measurement import Measurement

__all__ = ["Neighbour", "neighbours_of"]

#: Known architectures beside the winner; more would not fit on one screen.
_MOST_NEIGHBOURS = 16
#: Shown wherever their latency is known, however far away: people compare with these.
_LANDMARKS = ("bert-base", "distilbert", "minilm-6", "tinybert-4", "bert-mini", "bert-tiny")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A known architecture on this device.

    Attributes:
        names: What it is called.
        architecture: Its shape.
        seconds: Latency in seconds.
        interval: Its interval in seconds, of measurement or of prediction.
        measured: Whether it was measured; predicted if not.
    """

    names: tuple[str, ...]
    architecture: Architecture
    seconds: float
    interval: tuple[float, float] | None
    measured: bool


def neighbours_of(
    measurements: Iterable[Measurement],
    predictor: LatencyPredictor | None,
    winner_seconds: float | None,
) -> tuple[Neighbour, ...]:
    """Known architectures on this device: measured where possible, else predicted inside support.

    Those nearest to the winner are kept, and the landmarks, fastest first.
    """
    names: dict[Architecture, list[str]] = {}
    for name, architecture in KNOWN.items():
        names.setdefault(architecture, []).append(name)
    found = _measured(names, measurements)
    missing = [architecture for architecture in names if architecture not in found]
    if predictor is not None and missing:
        prediction = predictor.predict_architectures(missing)
        for i in np.flatnonzero(prediction.supported):
            found[missing[i]] = Neighbour(
                _short(names[missing[i]]),
                missing[i],
                float(prediction.latency_seconds[i]),
                (float(prediction.lower_seconds[i]), float(prediction.upper_seconds[i])),
                measured=False,
            )
    ranked = sorted(found.values(), key=lambda row: row.seconds)
    if winner_seconds is None:
        return tuple(ranked)
    near = sorted(ranked, key=lambda row: abs(np.log(row.seconds / winner_seconds)))
    kept = set(near[:_MOST_NEIGHBOURS])
    return tuple(r for r in ranked if r in kept or set(r.names) & set(_LANDMARKS))


def _measured(
    names: Mapping[Architecture, Sequence[str]], measurements: Iterable[Measurement]
) -> dict[Architecture, Neighbour]:
    """The latest unflagged measurement of each, else the latest."""
    latest: dict[Architecture, Measurement] = {}
    for m in sorted(measurements, key=lambda m: (not m.flagged, m.blocks[0].readings.started_at)):
        if m.architecture in names:
            latest[m.architecture] = m
    return {
        a: Neighbour(_short(names[a]), a, m.latency_seconds, m.interval_seconds, measured=True)
        for a, m in latest.items()
    }


def _short(names: Sequence[str]) -> tuple[str, ...]:
    """At most two names, grid positions of the miniatures only where there is no other."""
    own = [name for name in names if not name.startswith("miniature-")]
    return tuple((own or list(names))[:2])
