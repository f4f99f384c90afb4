"""What is asked of a search, and the memory of an interrupted one."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from atb.errors import BadFile, InputError
from atb.files import read_document, write_document
from atb.models import Architecture, SearchSpace
from atb.predictor import LatencyPredictor
from atb.search.constraints import (
    Bound,
    Deployed,
    LatencyLimit,
    Layout,
    Percentile,
    SpeedUp,
    at_percentile,
)
from atb.search.contract import MethodSettings
from atb.search.methods import METHODS
from atb.search.scoring import Proxy
from atb.search.targets import Place
from atb.search.verification import Verifier

__all__ = ["SearchRequest", "SearchState"]

_STATE = "search.json"
#: Format history: 1, the first.
_KIND, _FORMAT = "search-state", 1


@dataclass(frozen=True)
class SearchRequest:
    """What is searched for, and how.

    Attributes:
        space: The space, already on its search grid (`on_search_grid`).
        limit: The limit, a share of the space that is to lie below it, or a speed-up over an
            architecture that is measured first.
        method: A name of `METHODS`.
        settings: How long and how boldly the method searches.
        seed: Of the search.
        finalists: How many to measure at a time.
        largest: Shape of the SuperPLM, where there is one.
        bounds: Limits beside the latency.
        vocabulary_size: Tokens of the deployed model.
        positions: Its longest sequence.
        layout: How the winner is to be exported, which not every shape can be.
        screen: Whether scoring of hopeless candidates stops early, where method and proxy allow it.

    Raises:
        InputError: The method is unknown, or a value is out of range.
    """

    space: SearchSpace
    limit: LatencyLimit | Percentile | SpeedUp
    method: str = "evolved+"
    settings: MethodSettings = field(default_factory=MethodSettings)
    seed: int = 0
    finalists: int = 5
    largest: Architecture | None = None
    bounds: tuple[Bound, ...] = ()
    vocabulary_size: int = 30_522
    positions: int = 512
    screen: bool = True
    layout: Layout = "tinybert"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                f"There is no search method {self.method!r}: choose {', '.join(METHODS)}."
            )
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

    def key(
        self,
        predictor: LatencyPredictor,
        proxy: Proxy,
        verifier: Verifier,
        places: Sequence[Place] = (),
    ) -> str:
        """Hash of everything that decides the result; a predictor counts by what it predicts."""
        members = self.space.sample(np.random.default_rng(0), min(64, self.space.size))
        content = {
            "space": self.space.to_json(),
            "limit": self.limit.to_json(),
            "method": self.method,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "finalists": self.finalists,
            "screen": self.screen,
            "largest": None if self.largest is None else str(self.largest),
            "predictor": _predicted(predictor, members),
            "proxy": proxy.key,
            "bounds": [str(bound) for bound in self.bounds],
            "places": [
                [p.limit_seconds, p.verifier.conditions.key, _predicted(p.predictor, members)]
                for p in places
            ],
            "conditions": verifier.conditions.key,
            "within": verifier.within,
            # told where it matters, so that older searches go on
            **({} if self.layout == "tinybert" else {"layout": self.layout}),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _predicted(predictor: LatencyPredictor, members: Sequence[Architecture]) -> list[list[float]]:
    found = predictor.predict_architectures(members)
    return [found.latency_seconds.tolist(), found.upper_seconds.tolist()]


@dataclass(frozen=True, slots=True)
class SearchState:
    """What a search must remember beside scores and measurements.

    Attributes:
        request: Hash of what was asked.
        run: A name that keeps the campaigns of an interrupted search together, and those of
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
                state = cls(
                    str(document["request"]),
                    str(document["run"]),
                    document["reference_seconds"],
                    bool(document["finished"]),
                )
            except KeyError as error:
                raise BadFile(f"{path} is damaged: remove it, or choose another --out.") from error
            if state.request == request:
                return state
        return cls(request, secrets.token_hex(4))

    def write(self, out: Path, **changes: Any) -> Self:
        """Write it with some fields changed; returns the changed one."""
        changed = replace(self, **changes)
        write_document(out / _STATE, asdict(changed), kind=_KIND, format=_FORMAT)
        return changed
