"""A candidate of a search: what was predicted, scored and measured of one architecture.

Candidates have a front between latency and score, which grows from generation to generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atb.models import Architecture
from atb.plain import from_plain, to_plain

#: Of a measured latency: its whole interval is within the limit, across it, or above it.
LimitVerdict = Literal["met", "uncertain", "missed"]
#: Fields that `result.json` calls by another name.
_FIELDS = {"further_targets": "elsewhere", "pruned": "hopeless"}


def limit_verdict(interval_seconds: tuple[float, float], limit_seconds: float) -> LimitVerdict:
    """Whether a latency meets a limit, by its whole interval.

    Args:
        interval_seconds: The confidence interval of the latency.
        limit_seconds: The limit.
    """
    low, high = interval_seconds
    if high <= limit_seconds:
        return "met"
    return "uncertain" if low <= limit_seconds else "missed"


@dataclass(frozen=True, slots=True)
class TargetResult:
    """The latency of a model on a further target.

    Attributes:
        name: Name of the target.
        limit_seconds: Latency limit there.
        conditions: Device, runtime and settings, in words.
        predicted_seconds: Predicted latency.
        measured_seconds: Measured latency; None where it was not measured.
        interval_seconds: Confidence interval of the measured latency.
    """

    name: str
    limit_seconds: float
    conditions: str
    predicted_seconds: float
    measured_seconds: float | None = None
    interval_seconds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that the search scored.

    Attributes:
        architecture: The architecture.
        predicted_seconds: Its predicted latency.
        predicted_upper_seconds: Upper end of the predicted interval.
        proxy: Its score, higher is better; None where scoring failed.
        generation: In which generation it was scored, from 1.
        measured_seconds: Its measured latency; None where it was not a finalist, or failed.
        interval_seconds: Confidence interval of the measured latency.
        flagged: Why the measurement is to be distrusted, in words; empty when it is not.
        campaign: In which campaign it was measured.
        further_targets: Its latency on further targets, where there are any and it was a finalist.
        pruned: Whether scoring was stopped early, so that its score is only an expectation.
    """

    architecture: Architecture
    predicted_seconds: float
    predicted_upper_seconds: float
    proxy: float | None
    generation: int
    measured_seconds: float | None = None
    interval_seconds: tuple[float, float] | None = None
    flagged: tuple[str, ...] = ()
    campaign: str | None = None
    further_targets: tuple[TargetResult, ...] = ()
    pruned: bool = False

    @property
    def latency_seconds(self) -> float:
        """The measured latency where there is one, else the predicted."""
        return self.predicted_seconds if self.measured_seconds is None else self.measured_seconds

    def verdict(self, limit_seconds: float, margin: float = 0.0) -> LimitVerdict | None:
        """Whether it meets its limits by its whole intervals, on further targets too.

        Args:
            limit_seconds: Limit on the first target; results of further targets hold theirs.
            margin: Share of the latency by which it is to stay below each limit.

        Returns:
            The worst verdict of all targets; None where it was not measured.
        """
        latencies = [(self.measured_seconds, self.interval_seconds, limit_seconds)] + [
            (found.measured_seconds, found.interval_seconds, found.limit_seconds)
            for found in self.further_targets
        ]
        verdicts = [
            limit_verdict(interval or (measured, measured), limit / (1 + margin))
            for measured, interval, limit in latencies
            if measured is not None
        ]
        order: tuple[LimitVerdict, ...] = ("missed", "uncertain", "met")
        return next((verdict for verdict in order if verdict in verdicts), None)

    def corrected(self, correction: float) -> Candidate:
        """The same with its predictions multiplied by a factor."""
        return replace(
            self,
            predicted_seconds=correction * self.predicted_seconds,
            predicted_upper_seconds=correction * self.predicted_upper_seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields of a candidate in `result.json`."""
        fields = to_plain(self) | {"architecture": str(self.architecture)}
        return {_FIELDS.get(name, name): value for name, value in fields.items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Candidate:
        """Read what `to_json` wrote.

        Raises:
            ValueError, KeyError: A field is missing or of another type.
        """
        named = {name: fields[field] for name, field in _FIELDS.items() if field in fields}
        architecture = Architecture.parse(fields["architecture"])
        return from_plain(cls, {**fields, **named, "architecture": architecture})


def front_of(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those that nothing else beats in both latency and score, the fastest first.

    Pruned ones, whose score is only expected, are left out.
    """
    scored = [c for c in candidates if c.proxy is not None and not c.pruned]
    scored.sort(key=lambda c: (c.latency_seconds, -(c.proxy or 0.0)))
    front: list[Candidate] = []
    for candidate in scored:
        assert candidate.proxy is not None
        if not front or candidate.proxy > (front[-1].proxy or 0.0):
            front.append(candidate)
    return tuple(front)


def hypervolumes(candidates: Sequence[Candidate], limit_seconds: float) -> tuple[float, ...]:
    """How much of latency times score the front covers after each generation.

    The corner is the limit and the worst score of all; the largest box, from the fastest to the
    limit and from the worst score to the best, has volume 1. Latencies are the predicted ones, so
    that what was measured in the end does not change the past.

    Args:
        candidates: All scored ones, with the generation in which they were; pruned ones, whose
            score is only expected, cover nothing.
        limit_seconds: The limit; what is slower covers nothing.
    """
    points = np.array(
        [
            (c.generation, c.predicted_seconds, c.proxy)
            for c in candidates
            if c.proxy is not None and not c.pruned
        ]
    )
    if not len(points):
        return ()
    generations, latency, score = points.T
    width, height = limit_seconds - latency.min(), float(np.ptp(score))
    if width <= 0 or height <= 0:
        return (0.0,) * int(generations.max())
    cost = np.minimum((limit_seconds - latency) / width, 1.0)  # 1 for the fastest, 0 at the limit
    gain = (score - score.min()) / height
    return tuple(
        _covered(cost[generations <= last], gain[generations <= last])
        for last in range(1, int(generations.max()) + 1)
    )


def _covered(cost: npt.NDArray[np.float64], gain: npt.NDArray[np.float64]) -> float:
    """Area of the union of boxes from the origin to each point, both to be large."""
    volume, reached = 0.0, 0.0
    for place in np.lexsort((-gain, -cost)):  # the fastest first
        if cost[place] > 0 and gain[place] > reached:
            volume += float(cost[place] * (gain[place] - reached))
            reached = float(gain[place])
    return volume


def spread_over(front: Sequence[Candidate], count: int) -> list[Candidate]:
    """At most `count` of a front, evenly by their order, its ends included."""
    if len(front) <= count:
        return list(front)
    places = np.linspace(0, len(front) - 1, count).round().astype(int)
    return [front[place] for place in dict.fromkeys(places.tolist())]
