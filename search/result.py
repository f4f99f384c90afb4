"""What a search found, and how: the document that `result.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from atb.errors import BadFile
from atb.files import read_document, write_document
from atb.models.architecture import Architecture
from atb.profiler.conditions import Conditions
from atb.search.front import front_of, hypervolumes

__all__ = [
    "Candidate",
    "Elsewhere",
    "LimitVerdict",
    "SearchResult",
    "Weighed",
    "limit_verdict",
    "read_result",
    "write_result",
]

#: Of a measured latency: its whole interval is within the limit, across it, or above it.
LimitVerdict = Literal["met", "uncertain", "missed"]

#: Format history: 1, the first.
KIND, FORMAT = "search-result", 1


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


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a search under one of several settings found.

    Attributes:
        name: Of the settings, and of the folder in which the search lies.
        conditions: In words.
        winner: Its winner, as text; None where there was none.
        proxy: The winner's score.
        measured_seconds: The winner's measured latency.
        refused: Why there is none; empty where there is one.
    """

    name: str
    conditions: str
    winner: str | None = None
    proxy: float | None = None
    measured_seconds: float | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The winner of a search and everything that was weighed against it.

    Attributes:
        constraint_seconds: The limit of the winner's latency.
        basis: Where the limit comes from, in words.
        window: Fractions of the limit in which candidates were predicted to lie.
        winner: The best-scoring one whose whole measured interval meets the limit; where measuring
            ended without such a one, the best-scoring one whose measured latency does.
        candidates: All that were scored, the best first; the winner is one of them.
        conditions: Under which latencies were predicted and measured.
        space: Name of the space.
        feasible: How many of its architectures lay in the window.
        method: Name of the method.
        proxy: Name of the proxy.
        scoring: What scores rest on, in words, by `teacher`, `text` or `tasks`.
        seed: Of the search.
        generations: Generations scored.
        evaluations: Candidates scored, the hopeless ones too.
        correction: Factor on predicted latencies that measured finalists asked for; 1 for none.
        campaigns: Campaigns in which finalists were measured.
        ended_by: `generations`, or `candidates` when all of them were scored.
        bounds: Limits beside the latency, in words.
        weighed: Where several settings were searched, what each has found, the best first.
        request: Hash of everything that was asked for.
    """

    constraint_seconds: float
    basis: str
    window: tuple[float, float]
    winner: Candidate
    candidates: tuple[Candidate, ...]
    conditions: Conditions
    space: str
    feasible: int
    method: str
    proxy: str
    seed: int
    generations: int
    evaluations: int
    correction: float
    campaigns: tuple[str, ...]
    ended_by: str
    bounds: tuple[str, ...] = ()
    weighed: tuple[Weighed, ...] = ()
    scoring: Mapping[str, str] = field(default_factory=dict)
    request: str = field(default="", compare=False)

    @property
    def finalists(self) -> tuple[Candidate, ...]:
        """Those that were measured, the best first."""
        return tuple(c for c in self.candidates if c.measured_seconds is not None)

    @property
    def hopeless(self) -> int:
        """For how many scoring was stopped early."""
        return sum(candidate.hopeless for candidate in self.candidates)

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Those that nothing else beats in both latency and score, the fastest first."""
        return front_of(self.candidates)

    @property
    def hypervolumes(self) -> tuple[float, ...]:
        """How much the front covered after each generation; see `atb.search.front`."""
        return hypervolumes(self.candidates, self.constraint_seconds)

    def to_json(self) -> dict[str, Any]:
        """The document of `result.json`, without format and kind."""
        return {
            "constraint_seconds": self.constraint_seconds,
            "winner": self.winner.to_json(),
            "basis": self.basis,
            "window": list(self.window),
            "conditions": self.conditions.to_json(),
            "space": self.space,
            "feasible": self.feasible,
            "method": self.method,
            "proxy": self.proxy,
            "scoring": dict(self.scoring),
            "seed": self.seed,
            "generations": self.generations,
            "evaluations": self.evaluations,
            "correction": self.correction,
            "campaigns": list(self.campaigns),
            "ended_by": self.ended_by,
            "bounds": list(self.bounds),
            "weighed": [asdict(found) for found in self.weighed],
            "request": self.request,
            "front": [str(candidate.architecture) for candidate in self.front],
            "hypervolumes": list(self.hypervolumes),
            "candidates": [candidate.to_json() for candidate in self.candidates],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> SearchResult:
        """The reverse of `to_json`."""
        converted = {
            "window": (fields["window"][0], fields["window"][1]),
            "winner": Candidate.from_json(fields["winner"]),
            "candidates": tuple(Candidate.from_json(each) for each in fields["candidates"]),
            "conditions": Conditions.from_json(fields["conditions"]),
            "campaigns": tuple(fields["campaigns"]),
            "bounds": tuple(fields.get("bounds", ())),
            "weighed": tuple(Weighed(**found) for found in fields.get("weighed", ())),
        }
        told = ("format", "kind", "front", "hypervolumes")  # the last two follow from the rest
        plain = {name: value for name, value in fields.items() if name not in told}
        return cls(**{**plain, **converted})


def write_result(result: SearchResult, path: Path) -> None:
    """Write `result.json`, whole or not at all."""
    write_document(path, result.to_json(), kind=KIND, format=FORMAT)


def read_result(path: Path) -> SearchResult:
    """Read what `write_result` wrote.

    Raises:
        BadFile: It is missing, truncated, foreign or of another format.
    """
    document = read_document(path, kind=KIND, format=FORMAT)
    try:
        return SearchResult.from_json(document)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadFile(f"{path} is damaged ({error}): search again.") from error
