"""What is asked of a search, the candidates that follow, and the memory of an interrupted one."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from atb.errors import BadFile, InputError
from atb.files import read_document, write_document
from atb.models import Architecture, SearchSpace
from atb.plain import from_plain, to_plain
from atb.predictor import LatencyPredictor
from atb.search.constraints import (
    Bound,
    BoundReach,
    Candidates,
    Deployed,
    LatencyLimit,
    Layout,
    Percentile,
    SpeedUp,
    at_percentile,
    feasible,
)
from atb.search.contract import MethodSettings
from atb.search.methods import canonical_name, find_method, key_name
from atb.search.scoring import Proxy
from atb.search.targets import LatencyResult, Target, Targets
from atb.search.verifier import Progress
from atb.units import format_duration

_STATE = "search.json"
#: Format history: 1, the first.
_KIND, _FORMAT = "search-state", 1


@dataclass(frozen=True)
class SearchRequest:
    """What is searched for, and how.

    Attributes:
        space: The space, already on its search grid (`on_search_grid`).
        limit: The latency limit, a share of the space that is to lie below it, or a speed-up over
            an architecture that is measured first.
        method: A name of `METHODS`, or of an entry point in the group `atb.search_methods`.
        settings: Generations, and how boldly the method explores.
        seed: Seed of all that the method draws.
        finalists: Candidates that are measured at a time.
        largest: Shape of the SuperPLM, where there is one.
        bounds: Limits beside the latency.
        vocabulary_size: Tokens in the vocabulary of the deployed model.
        positions: Tokens of its longest sequence.
        prune: Whether scoring stops early for candidates that cannot become finalists, where method
            and proxy allow it.
        layout: Format of the export, which not every shape can have.

    Raises:
        InputError: The method is unknown, or a value is out of range.
    """

    space: SearchSpace
    limit: LatencyLimit | Percentile | SpeedUp
    method: str = "surrogate-evolution"
    settings: MethodSettings = field(default_factory=MethodSettings)
    seed: int = 0
    finalists: int = 5
    largest: Architecture | None = None
    bounds: tuple[Bound, ...] = ()
    vocabulary_size: int = 30_522
    positions: int = 512
    prune: bool = True
    layout: Layout = "tinybert"

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", canonical_name(self.method))
        find_method(self.method)
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}: give a whole number from 0.")
        if self.finalists < 1:
            raise InputError(f"{self.finalists} finalists were asked for: give at least 1.")

    def limit_by(self, predictor: LatencyPredictor) -> LatencyLimit | None:
        """The limit as a latency; None where it takes a measurement to know it."""
        if isinstance(self.limit, SpeedUp):
            return None
        if isinstance(self.limit, Percentile):
            return at_percentile(
                self.space, predictor, self.limit, largest=self.largest, layout=self.layout
            )
        return self.limit

    def deployed(self, predictor: LatencyPredictor) -> Deployed:
        """Tells what a deployed model has of what is bounded."""
        return Deployed(predictor, self.vocabulary_size, self.positions)

    def key(self, targets: Sequence[Target], proxy: Proxy) -> str:
        """Hash of everything that decides the result; a predictor counts by what it predicts."""
        first, *further = targets
        members = self.space.sample(np.random.default_rng(0), min(64, self.space.size))
        content = {
            "space": self.space.to_json(),
            "limit": _plain_limit(self.limit),
            "method": key_name(self.method),
            "settings": to_plain(self.settings),
            "seed": self.seed,
            "finalists": self.finalists,
            "screen": self.prune,
            "largest": None if self.largest is None else str(self.largest),
            "predictor": _predicted(first.predictor, members),
            "proxy": proxy.key,
            "bounds": [str(bound) for bound in self.bounds],
            "places": [
                [t.limit_seconds, t.verifier.conditions.key, _predicted(t.predictor, members)]
                for t in further
            ],
            "conditions": first.verifier.conditions.key,
            "within": first.verifier.within,
            # left out where it is the default, so that the keys of older searches stay
            **({} if self.layout == "tinybert" else {"layout": self.layout}),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _plain_limit(limit: LatencyLimit | Percentile | SpeedUp) -> dict[str, Any]:
    fields: dict[str, Any] = to_plain(limit)
    if isinstance(limit, SpeedUp):
        fields["architecture"] = str(limit.architecture)
    return fields


def _predicted(predictor: LatencyPredictor, members: Sequence[Architecture]) -> list[list[float]]:
    found = predictor.predict_architectures(members)
    return [found.latency_seconds.tolist(), found.upper_seconds.tolist()]


@dataclass(frozen=True)
class Task:
    """A request whose limit is known, and the candidates that predictions admit.

    Attributes:
        request: What is searched for.
        limit: Latency limit of the first target.
        targets: All targets.
        progress: Called with the steps done, the steps in all, and a word.
        candidates: Architectures within all limits.
    """

    request: SearchRequest
    limit: LatencyLimit
    targets: Targets
    progress: Progress | None
    candidates: Candidates

    @classmethod
    def begin(
        cls,
        request: SearchRequest,
        limit: LatencyLimit,
        targets: Targets,
        progress: Progress | None,
        correction: float = 1.0,
    ) -> Self:
        """List the candidates by predictions that are multiplied by a correction.

        Raises:
            InputError: There are none.
        """

        def tell(seen: int, total: int) -> None:
            if progress is not None:
                progress(seen, total, "listing the architectures that meet the limit")

        try:
            candidates = feasible(
                request.space,
                targets,
                limit,
                largest=request.largest,
                correction=correction,
                bounds=BoundReach(request.bounds, request.deployed(targets.first.predictor)),
                layout=request.layout,
                progress=tell,
            )
        except InputError as error:
            if not targets.further:
                raise
            names = ", ".join(
                f"{target.name}={format_duration(target.limit_seconds or limit.seconds)}"
                for target in targets.further
            )
            raise InputError(
                f"With --limit {names}, told in times of the first limit: {error}"
            ) from error
        return cls(request, limit, targets, progress, candidates)

    def corrected(self, correction: float) -> Self:
        """The same with candidates by predictions that are multiplied by a correction."""
        return self.begin(self.request, self.limit, self.targets, self.progress, correction)

    def keeps_bounds(self, found: LatencyResult) -> bool:
        """Whether a measured model keeps the limits beside the latency, where it is known."""
        deployed, first = self.request.deployed(self.targets.first.predictor), found.measurements[0]
        amounts = ((bound, deployed.measured(bound, first)) for bound in self.request.bounds)
        return all(amount is None or amount <= bound.most for bound, amount in amounts)


@dataclass(frozen=True, slots=True)
class SearchState:
    """What a search must remember beside scores and measurements.

    Attributes:
        request: Hash of the request.
        run: Random name that keeps the campaigns of an interrupted search together, and those of
            another search apart.
        reference_seconds: Measured latency of the reference of a speed-up.
        finished: Whether the result was written.
    """

    request: str
    run: str
    reference_seconds: float | None = None
    finished: bool = False

    @classmethod
    def find(cls, out: Path, request: str) -> Self:
        """The state that the same request left in a folder, or a fresh one; nothing is written.

        Raises:
            BadFile: The state is damaged.
        """
        path = out / _STATE
        if path.is_file():
            document = read_document(path, kind=_KIND, format=_FORMAT)
            try:
                state = from_plain(cls, document)
            except ValueError as error:
                raise BadFile(f"{path} is damaged: remove it, or choose another --out.") from error
            if state.request == request:
                return state
        return cls(request, secrets.token_hex(4))

    def write(self, out: Path, **changes: Any) -> Self:
        """Write it with some fields changed; returns the changed one."""
        changed = replace(self, **changes)
        write_document(out / _STATE, to_plain(changed), kind=_KIND, format=_FORMAT)
        return changed
