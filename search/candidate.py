"""A candidate of a search: what was predicted, scored and measured of one architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from atb.models import Architecture

__all__ = ["Candidate", "Elsewhere", "LimitVerdict", "limit_verdict"]

#: Of a measured latency: its whole interval is within the limit, across it, or above it.
LimitVerdict = Literal["met", "uncertain", "missed"]


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
class Elsewhere:
    """What a model takes in a further place.

    Attributes:
        name: Of the place.
        limit_seconds: Its limit.
        conditions: Under which it was predicted and measured, in words.
        predicted_seconds: The predicted latency.
        measured_seconds: The measured one; None where it was not.
        interval_seconds: Its confidence interval.
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
        elsewhere: What it takes in further places, where there are any and it was a finalist.
        hopeless: Whether scoring was stopped early, so that its score is only an expectation.
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
    elsewhere: tuple[Elsewhere, ...] = ()
    hopeless: bool = False

    @property
    def latency_seconds(self) -> float:
        """The measured latency where there is one, else the predicted."""
        return self.predicted_seconds if self.measured_seconds is None else self.measured_seconds

    def verdict(self, limit_seconds: float, margin: float = 0.0) -> LimitVerdict | None:
        """Whether it meets its limits by its whole intervals, in further places too.

        Args:
            limit_seconds: The limit in the first place; the further ones know theirs.
            margin: Share of the latency by which it is to stay below each limit.

        Returns:
            The worst verdict of all places; None where it was not measured.
        """
        places = [(self.measured_seconds, self.interval_seconds, limit_seconds)] + [
            (place.measured_seconds, place.interval_seconds, place.limit_seconds)
            for place in self.elsewhere
        ]
        verdicts = [
            limit_verdict(interval or (measured, measured), limit / (1 + margin))
            for measured, interval, limit in places
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
        """As plain values."""
        return {
            "architecture": str(self.architecture),
            "predicted_seconds": self.predicted_seconds,
            "predicted_upper_seconds": self.predicted_upper_seconds,
            "measured_seconds": self.measured_seconds,
            "interval_seconds": None if self.interval_seconds is None else [*self.interval_seconds],
            "proxy": self.proxy,
            "generation": self.generation,
            "flagged": list(self.flagged),
            "campaign": self.campaign,
            "elsewhere": [asdict(place) for place in self.elsewhere],
            "hopeless": self.hopeless,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Candidate:
        """The reverse of `to_json`."""
        interval = fields["interval_seconds"]
        return cls(
            Architecture.parse(fields["architecture"]),
            fields["predicted_seconds"],
            fields["predicted_upper_seconds"],
            fields["proxy"],
            fields["generation"],
            fields["measured_seconds"],
            None if interval is None else (interval[0], interval[1]),
            tuple(fields["flagged"]),
            fields["campaign"],
            tuple(_elsewhere(place) for place in fields.get("elsewhere", ())),
            fields.get("hopeless", False),
        )


def _elsewhere(fields: Mapping[str, Any]) -> Elsewhere:
    interval = fields["interval_seconds"]
    return Elsewhere(**{**fields, "interval_seconds": None if interval is None else (*interval,)})
