"""The result of a search that never ran, for what comes after one."""

from __future__ import annotations

from typing import Any

from atb.models.architecture import Architecture
from atb.search.candidate import Candidate
from atb.search.result import SearchResult


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
