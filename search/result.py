"""What a search found, and how: the document that `result.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from atb.errors import BadFile
from atb.files import read_document, write_document
from atb.plain import from_plain, to_plain
from atb.profiler import Conditions
from atb.search.candidate import Candidate, front_of, hypervolumes
from atb.search.methods import canonical_name

#: Format history: 1, the first.
KIND, FORMAT = "search-result", 1


@dataclass(frozen=True, slots=True)
class AlternativeResult:
    """What the search under one of several alternative settings found.

    Attributes:
        name: Name of the alternative, and of the folder in which its search lies.
        conditions: Device, runtime and settings, in words.
        winner: Text form of its winner; None where it has none.
        proxy: Score of the winner.
        measured_seconds: Measured latency of the winner.
        refused: Why there is no winner; empty where there is one.
    """

    name: str
    conditions: str
    winner: str | None = None
    proxy: float | None = None
    measured_seconds: float | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Quality:
    """What the winner, as it is handed over, keeps of what its teacher says of sentences.

    Attributes:
        teacher: The teacher in words.
        pairs: The sentence pairs in words.
        count: Number of pairs.
        ranking: Spearman's correlation between the winner's cosines of pairs and the teacher's.
        nearest: Share of each sentence's ten nearest by the teacher that are so by the winner.
        scores: Spearman's correlation with the scores that people gave; None where there are none.
        teacher_scores: The same of the teacher.
        teacher_seconds: Latency of the whole SuperPLM, measured or predicted; None where neither
            is known.
        improved_seconds: For how long the winner learnt on; 0 for not at all.
        slice_ranking: `ranking` of the slice before that.
    """

    teacher: str
    pairs: str
    count: int
    ranking: float
    nearest: float
    scores: float | None = None
    teacher_scores: float | None = None
    teacher_seconds: float | None = None
    improved_seconds: float = 0.0
    slice_ranking: float | None = None


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
        evaluations: Candidates scored, pruned ones included.
        correction: Factor on predicted latencies that measured finalists asked for; 1 for none.
        campaigns: Campaigns in which finalists were measured.
        ended_by: `generations`, or `candidates` when all of them were scored.
        bounds: Limits beside the latency, in words.
        alternatives: What each of several settings has found, the best first; else empty.
        quality: What the winner keeps of what its teacher says of sentences; None where that is not
            told, as of a SuperPLM without a projection.
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
    alternatives: tuple[AlternativeResult, ...] = ()
    scoring: Mapping[str, str] = field(default_factory=dict)
    quality: Quality | None = None
    request: str = field(default="", compare=False)

    @property
    def finalists(self) -> tuple[Candidate, ...]:
        """Those that were measured, the best first."""
        return tuple(c for c in self.candidates if c.measured_seconds is not None)

    @property
    def pruned(self) -> int:
        """Number of candidates whose scoring was stopped early."""
        return sum(candidate.pruned for candidate in self.candidates)

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Those that nothing else beats in both latency and score, the fastest first."""
        return front_of(self.candidates)

    @property
    def hypervolumes(self) -> tuple[float, ...]:
        """How much the front covered after each generation; see `hypervolumes`."""
        return hypervolumes(self.candidates, self.constraint_seconds)

    def to_json(self) -> dict[str, Any]:
        """The document of `result.json`, without format and kind."""
        fields = {
            **to_plain(replace(self, candidates=())),
            "winner": self.winner.to_json(),
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "conditions": self.conditions.to_json(),
            "front": [str(candidate.architecture) for candidate in self.front],
            "hypervolumes": list(self.hypervolumes),
        }
        fields["weighed"] = fields.pop("alternatives")
        if self.quality is None:
            del fields["quality"]
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> SearchResult:
        """Read what `to_json` wrote, by this version or an older one.

        Raises:
            ValueError, TypeError, KeyError: A field is missing or of another type.
        """
        return from_plain(
            cls,
            {
                **fields,
                "winner": Candidate.from_json(fields["winner"]),
                "candidates": [Candidate.from_json(each) for each in fields["candidates"]],
                "conditions": Conditions.from_json(fields["conditions"]),
                "method": canonical_name(fields["method"]),
                "alternatives": fields.get("weighed", ()),
            },
        )


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
