"""Published architectures on this device: measured where possible, else predicted, and named so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from atb.models import PUBLISHED, Architecture
from atb.predictor import LatencyPredictor
from atb.profiler.statistics import Measurement

Origin = Literal["measured", "predicted", "extrapolated"]

#: Published architectures beside the winner; more would not fit on one screen.
_MOST_BASELINES = 16
#: Shown wherever their latency is known, however far away: people compare with these.
_LANDMARKS = ("bert-base", "distilbert", "minilm-6", "tinybert-4", "bert-mini", "bert-tiny")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A published architecture on this device.

    Attributes:
        names: Names of the architecture.
        architecture: Its five sizes.
        seconds: Its latency in seconds.
        interval: Its interval in seconds, of measurement or of prediction.
        basis: How the latency is known; `extrapolated` is predicted outside the range that the
            predictor was fitted on, where its interval promises nothing.
    """

    names: tuple[str, ...]
    architecture: Architecture
    seconds: float
    interval: tuple[float, float] | None
    basis: Origin


def baselines_of(
    measurements: Iterable[Measurement],
    predictor: LatencyPredictor | None,
    winner_seconds: float | None,
) -> tuple[Baseline, ...]:
    """Published architectures on this device, fastest first.

    Args:
        measurements: Measurements made on the device.
        predictor: For those that were not measured; None leaves them out.
        winner_seconds: Those nearest to it are kept, and the landmarks; None keeps all.
    """
    names: dict[Architecture, list[str]] = {}
    for name, architecture in PUBLISHED.items():
        names.setdefault(architecture, []).append(name)
    found = _measured(names, measurements)
    missing = [architecture for architecture in names if architecture not in found]
    if predictor is not None and missing:
        prediction = predictor.predict_architectures(missing)
        for i, architecture in enumerate(missing):
            found[architecture] = Baseline(
                _short(names[architecture]),
                architecture,
                float(prediction.latency_seconds[i]),
                (float(prediction.lower_seconds[i]), float(prediction.upper_seconds[i])),
                "predicted" if prediction.supported[i] else "extrapolated",
            )
    ranked = sorted(found.values(), key=lambda row: row.seconds)
    if winner_seconds is None:
        return tuple(ranked)
    near = sorted(ranked, key=lambda row: abs(np.log(row.seconds / winner_seconds)))
    kept = set(near[:_MOST_BASELINES])
    return tuple(r for r in ranked if r in kept or set(r.names) & set(_LANDMARKS))


def _measured(
    names: Mapping[Architecture, Sequence[str]], measurements: Iterable[Measurement]
) -> dict[Architecture, Baseline]:
    """The latest unflagged measurement of each, else the latest."""
    latest: dict[Architecture, Measurement] = {}
    for m in sorted(measurements, key=lambda m: (not m.flagged, m.blocks[0].readings.started_at)):
        if m.architecture in names:
            latest[m.architecture] = m
    return {
        a: Baseline(_short(names[a]), a, m.latency_seconds, m.interval_seconds, "measured")
        for a, m in latest.items()
    }


def _short(names: Sequence[str]) -> tuple[str, ...]:
    """At most two names, grid positions of the miniatures only where there is no other."""
    own = [name for name in names if not name.startswith("miniature-")]
    return tuple((own or list(names))[:2])
