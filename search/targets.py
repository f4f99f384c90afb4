"""The targets of a search: one device and its settings, or several that one model has to suit.

Each target has a predictor, a verifier and a latency limit. What counts of a model is the largest
share that it uses of any limit. That share is expressed in seconds of the first limit, so that it
takes the place of a latency, whether there is one target or many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from atb.models import Architecture
from atb.predictor import LatencyPredictor, Prediction
from atb.predictor.fitting import FloatArray, IntArray, rows_of
from atb.profiler import Conditions
from atb.profiler.statistics import Measurement
from atb.search.candidate import Candidate, TargetResult
from atb.search.verifier import Progress, Verifier


@dataclass(frozen=True)
class Target:
    """A device under some settings, and the latency that a model may have there.

    Attributes:
        predictor: Predicts latencies; fitted under the conditions of the verifier.
        verifier: Measures finalists.
        name: The name that the user gave it; the first target needs none.
        limit_seconds: Limit of one inference; None for the limit of the request.
    """

    predictor: LatencyPredictor
    verifier: Verifier
    name: str = ""
    limit_seconds: float | None = None


@dataclass(frozen=True)
class LatencyResult:
    """One model measured on every target.

    Attributes:
        measurements: One of each target, in their order.
        scales: For each target, the first limit divided by its own.
        names: Names of the targets.
    """

    measurements: tuple[Measurement, ...]
    scales: tuple[float, ...]
    names: tuple[str, ...]

    @property
    def latency_seconds(self) -> float:
        """The largest share of any limit, in seconds of the first."""
        scaled = zip(self.measurements, self.scales, strict=True)
        return max(scale * found.latency_seconds for found, scale in scaled)

    @property
    def interval_seconds(self) -> tuple[float, float]:
        """The same of the ends of all confidence intervals."""
        scaled = zip(self.measurements, self.scales, strict=True)
        ends = [(s * m.interval_seconds[0], s * m.interval_seconds[1]) for m, s in scaled]
        return max(low for low, _ in ends), max(high for _, high in ends)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a measurement is to be distrusted; further targets are named."""
        first, *further = zip(self.names, self.measurements, strict=True)
        named = (f"{name}: {reason}" for name, found in further for reason in found.reasons)
        return (*first[1].reasons, *named)


@dataclass(frozen=True)
class Targets:
    """All targets of a search in the place of one.

    Attributes:
        members: The targets, the first one first.
        limit_seconds: Limit of the first.
    """

    members: tuple[Target, ...]
    limit_seconds: float

    @property
    def first(self) -> Target:
        """The target whose seconds all latencies are expressed in."""
        return self.members[0]

    @property
    def further(self) -> tuple[Target, ...]:
        """All but the first."""
        return self.members[1:]

    @property
    def conditions(self) -> Conditions:
        """The conditions of the first."""
        return self.first.verifier.conditions

    @property
    def scales(self) -> tuple[float, ...]:
        """For each target, the first limit divided by its own."""
        return tuple(self.limit_seconds / self._limit(target) for target in self.members)

    def _limit(self, target: Target) -> float:
        return self.limit_seconds if target.limit_seconds is None else target.limit_seconds

    def predict(self, rows: IntArray) -> Prediction:
        """Predict the largest share of any limit, in seconds of the first, of int[n, 5]."""
        found = [target.predictor.predict(rows) for target in self.members]
        scales = self.scales

        def largest(name: str) -> FloatArray:
            scaled = [s * getattr(p, name) for p, s in zip(found, scales, strict=True)]
            return np.asarray(np.maximum.reduce(scaled))

        return Prediction(
            largest("latency_seconds"),
            largest("lower_seconds"),
            largest("upper_seconds"),
            np.logical_and.reduce([prediction.supported for prediction in found]),
        )

    def predict_architectures(self, architectures: Sequence[Architecture]) -> Prediction:
        """Predict the same for a few architectures."""
        return self.predict(rows_of(architectures))

    @property
    def is_spent(self) -> bool:
        """Whether one of them has no time left; what is not measured by then stays so."""
        return any(target.verifier.budget.is_spent for target in self.members)

    def measure(
        self,
        architectures: Sequence[Architecture],
        campaign: str,
        progress: Progress | None = None,
        *,
        limit_seconds: float | None = None,
    ) -> dict[Architecture, LatencyResult]:
        """Measure on one target after the other; what failed on one is left out.

        Args:
            architectures: Models to measure.
            campaign: Name of the campaign on each target.
            progress: Called while measuring.
            limit_seconds: Limit of the first target, near which to measure more exactly.
        """
        found: dict[Architecture, tuple[Measurement, ...]] = dict.fromkeys(architectures, ())
        for target, scale in zip(self.members, self.scales, strict=True):
            limit = None if limit_seconds is None else limit_seconds / scale
            verifier = target.verifier
            measured = verifier.measure(list(found), campaign, progress, limit_seconds=limit)
            found = {a: (*found[a], measurement) for a, measurement in measured.items()}
        names = tuple(target.name for target in self.members)
        return {a: LatencyResult(each, self.scales, names) for a, each in found.items()}

    def predicted_on_first(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Replace the predictions of candidates by those for the first target alone."""
        if not self.further or not candidates:
            return list(candidates)
        found = self.first.predictor.predict_architectures([c.architecture for c in candidates])
        columns = zip(candidates, found.latency_seconds, found.upper_seconds, strict=True)
        return [
            replace(c, predicted_seconds=float(latency), predicted_upper_seconds=float(upper))
            for c, latency, upper in columns
        ]

    def with_measurements(self, candidate: Candidate, found: LatencyResult) -> Candidate:
        """Add to a candidate what measuring it on every target has shown."""
        first, *further = found.measurements
        results = []
        for target, measurement in zip(self.further, further, strict=True):
            predicted = target.predictor.predict_architectures([candidate.architecture])
            results.append(
                TargetResult(
                    target.name,
                    self._limit(target),
                    str(target.verifier.conditions),
                    float(predicted.latency_seconds[0]),
                    measurement.latency_seconds,
                    measurement.interval_seconds,
                )
            )
        return replace(
            candidate,
            measured_seconds=first.latency_seconds,
            interval_seconds=first.interval_seconds,
            flagged=found.reasons,
            campaign=first.campaign,
            further_targets=tuple(results),
        )
