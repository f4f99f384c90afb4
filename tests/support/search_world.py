"""A simulated processor, its exact predictor, and small searches on it.

Run as a script it is one search in a process of its own: `search_world.py FOLDER SECONDS_A_SCORE`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.devices.fake.device import FakeCosts, FakeDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.predictor.predictor import ExactPredictor
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.record import Conditions
from atb.search.candidate import Candidate
from atb.search.constraints.candidates import Candidates, feasible, on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.contract import MethodSettings
from atb.search.request import SearchRequest
from atb.search.result import SearchResult
from atb.search.run import search
from atb.search.scoring.executors import Executor
from atb.search.scoring.proxy import ExactProxy
from atb.search.targets import Target
from atb.search.verifier import Budget, Verifier


class SlowProxy(ExactProxy):
    """Takes its time, so that a search can be killed in the middle."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def score(self, architectures: Sequence[Architecture]) -> list[float | None]:
        time.sleep(self.seconds)
        return super().score(architectures)


class World:
    """One kind of processor, known exactly."""

    settings = RunSettings()
    space = on_search_grid(SPACES["mini"])
    limit = LatencyLimit(0.008)
    short = MethodSettings(generation_size=8, generations=3)

    def latency(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The formula of the fake device for int[n, 5], in seconds."""
        costs = FakeCosts()
        layers, hidden, _, qkv, feed_forward = (column.astype(float) for column in rows.T)
        tokens = self.settings.sequence_length
        matrices = tokens * (4 * hidden * qkv + 2 * hidden * feed_forward)
        work = layers * (matrices + 2 * tokens**2 * qkv)
        return (
            costs.fixed_seconds
            + layers * costs.layer_seconds
            + tokens * hidden * costs.value_seconds
            + work / costs.multiply_adds_per_second
        )

    @property
    def conditions(self) -> Conditions:
        device = FakeDevice()
        return Conditions.of(device, device.runtimes["fake"], self.settings)

    def predictor(self, bias: float = 1.0) -> ExactPredictor:
        """Knows the device up to a factor."""
        return ExactPredictor(self.conditions, lambda rows: bias * self.latency(rows))

    def constant_predictor(self, seconds: float) -> ExactPredictor:
        return ExactPredictor(self.conditions, lambda rows: np.full(len(rows), seconds))

    def candidates(self, limit: LatencyLimit | None = None) -> Candidates:
        return feasible(self.space, self.predictor(), limit or self.limit)

    def verifier(
        self,
        database: ProfileDatabase,
        device: FakeDevice | None = None,
        budget_seconds: float | None = None,
    ) -> Verifier:
        device = device or FakeDevice()
        budget = Budget(budget_seconds)
        return Verifier(device, device.runtimes["fake"], self.settings, database, budget=budget)

    def search(
        self,
        folder: Path,
        *,
        device: FakeDevice | None = None,
        bias: float = 1.0,
        proxy: ExactProxy | None = None,
        executor: Executor | None = None,
        budget_seconds: float | None = None,
        **request: Any,
    ) -> SearchResult:
        """A whole search whose files lie below a folder."""
        asked = {"space": self.space, "limit": self.limit, "settings": self.short} | request
        folder.mkdir(parents=True, exist_ok=True)
        with ProfileDatabase(folder / "profile.db", create=True) as database:
            return search(
                SearchRequest(**asked),
                [Target(self.predictor(bias), self.verifier(database, device, budget_seconds))],
                proxy or ExactProxy(),
                folder / "out",
                executor=executor,
            )


if __name__ == "__main__":
    found = World().search(Path(sys.argv[1]), proxy=SlowProxy(float(sys.argv[2])))
    sys.stdout.write(f"{found.winner.architecture} {found.evaluations}\n")


def result_of(world: Any, winner: Architecture) -> SearchResult:
    """A search under the conditions of a fixture that has found this winner."""
    found = Candidate(winner, 0.0021, 0.0022, -0.5, 1, 0.002, (0.00199, 0.00201), (), "search-1")
    return SearchResult(
        constraint_seconds=0.0022,
        basis="given",
        window=(0.85, 1.0),
        winner=found,
        candidates=(found,),
        conditions=world.conditions,
        space="mini",
        feasible=12,
        method="evolution",
        proxy="distillation",
        seed=0,
        generations=4,
        evaluations=100,
        correction=1.0,
        campaigns=("search-1",),
        ended_by="generations",
        request="abc",
    )
