"""One model for several devices, or for several settings of one.

Each has a limit, a predictor and a place to measure. What counts of a model is the largest share
that it uses of any limit; told in seconds of the first limit, it takes the place of a latency, and
a search goes on as if there were one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from atb.models import Architecture
from atb.predictor import LatencyPredictor, Prediction
from atb.predictor.fitting import IntArray, rows_of
from atb.profiler import Conditions
from atb.profiler.statistics import Measurement
from atb.search.candidate import Elsewhere
from atb.search.verification import Measured, Measures, Progress, Verifier

__all__ = ["JointMeasurement", "JointPredictor", "JointVerifier", "Place", "elsewhere", "on_first"]


@dataclass(frozen=True)
class Place:
    """A further device, or the same under other settings, and what a model may take there.

    Attributes:
        name: What the user calls it.
        limit_seconds: For one inference.
        predictor: Fitted there.
        verifier: Measures there.
    """

    name: str
    limit_seconds: float
    predictor: LatencyPredictor
    verifier: Verifier


@dataclass(frozen=True)
class JointPredictor:
    """Tells the largest share of all limits, in seconds of the first.

    Attributes:
        first: Of the first device.
        limit_seconds: The first limit.
        places: The further ones.
    """

    first: LatencyPredictor
    limit_seconds: float
    places: tuple[Place, ...]

    @property
    def conditions(self) -> Conditions:
        """Of the first."""
        return self.first.conditions

    def predict(self, rows: IntArray) -> Prediction:
        """For each of int[n, 5] the place that is hardest to please."""
        found = self.first.predict(rows)
        latency, lower, upper = found.latency_seconds, found.lower_seconds, found.upper_seconds
        supported = found.supported
        for place in self.places:
            other, scale = place.predictor.predict(rows), self.limit_seconds / place.limit_seconds
            latency = np.maximum(latency, scale * other.latency_seconds)
            lower = np.maximum(lower, scale * other.lower_seconds)
            upper = np.maximum(upper, scale * other.upper_seconds)
            supported = supported & other.supported
        return Prediction(latency, lower, upper, supported)

    def predict_architectures(self, architectures: Sequence[Architecture]) -> Prediction:
        """The same for a few architectures."""
        return self.predict(rows_of(architectures))


@dataclass(frozen=True)
class JointMeasurement:
    """A model measured everywhere.

    Attributes:
        first: On the first device.
        scaled: The further ones by name of the place, and the first limit over theirs.
    """

    first: Measurement
    scaled: dict[str, tuple[Measurement, float]] = field(default_factory=dict)

    @property
    def architecture(self) -> Architecture:
        """What was measured."""
        return self.first.architecture

    @property
    def latency_seconds(self) -> float:
        """The largest share of all limits, in seconds of the first."""
        further = [scale * found.latency_seconds for found, scale in self.scaled.values()]
        return max(self.first.latency_seconds, *further)

    @property
    def interval_seconds(self) -> tuple[float, float]:
        """The same of the ends of all intervals."""
        ends = [self.first.interval_seconds] + [
            (scale * found.interval_seconds[0], scale * found.interval_seconds[1])
            for found, scale in self.scaled.values()
        ]
        return max(low for low, _ in ends), max(high for _, high in ends)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why one of them is to be distrusted."""
        further = [
            f"{name}: {reason}"
            for name, (found, _) in self.scaled.items()
            for reason in found.reasons
        ]
        return (*self.first.reasons, *further)

    @property
    def campaign(self) -> str:
        """In which it was measured."""
        return self.first.campaign


@dataclass(frozen=True)
class JointVerifier:
    """Measures on one device after the other.

    Attributes:
        first: On the first device.
        limit_seconds: The first limit.
        places: The further ones.
    """

    first: Measures
    limit_seconds: float
    places: tuple[Place, ...]

    @property
    def conditions(self) -> Conditions:
        """Of the first."""
        return self.first.conditions

    @property
    def is_spent(self) -> bool:
        """Whether there is no time left in one place."""
        return self.first.is_spent or any(place.verifier.is_spent for place in self.places)

    def measure(
        self,
        architectures: Sequence[Architecture],
        campaign: str,
        progress: Progress | None = None,
        *,
        limit_seconds: float | None = None,
    ) -> dict[Architecture, Measured]:
        """Measure everywhere; what failed in one place is left out."""
        found = self.first.measure(architectures, campaign, progress, limit_seconds=limit_seconds)
        scaled: dict[Architecture, dict[str, tuple[Measurement, float]]] = {a: {} for a in found}
        for place in self.places:
            scale = self.limit_seconds / place.limit_seconds
            limit = None if limit_seconds is None else limit_seconds / scale
            measured = place.verifier.measure(list(scaled), campaign, progress, limit_seconds=limit)
            scaled = {
                a: {**scaled[a], place.name: (measured[a], scale)} for a in scaled if a in measured
            }
        return {a: JointMeasurement(on_first(found[a]), scaled[a]) for a in scaled}


def on_first(measured: Measured) -> Measurement:
    """What was measured on the first device."""
    found = measured.first if isinstance(measured, JointMeasurement) else measured
    assert isinstance(found, Measurement)
    return found


def elsewhere(
    places: Sequence[Place], architecture: Architecture, measured: Measured | None
) -> tuple[Elsewhere, ...]:
    """What a model takes in each further place."""
    told = []
    for place in places:
        prediction = place.predictor.predict_architectures([architecture])
        found = None
        if isinstance(measured, JointMeasurement):
            found, _ = measured.scaled[place.name]
        told.append(
            Elsewhere(
                place.name,
                place.limit_seconds,
                str(place.verifier.conditions),
                float(prediction.latency_seconds[0]),
                None if found is None else found.latency_seconds,
                None if found is None else found.interval_seconds,
            )
        )
    return tuple(told)
