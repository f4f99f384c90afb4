"""The front between latency and score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atb.models.architecture import Architecture
from atb.search.candidate import Candidate, front_of, hypervolumes, spread_over
from atb.search.constraints.latency import WHOLE, LatencyLimit
from atb.search.contract import MethodSettings


def candidate(latency: float, score: float | None, generation: int = 1) -> Candidate:
    return Candidate(Architecture(1, 8, 1, 8, 8), latency, latency, score, generation)


def random_candidates(count: int) -> list[Candidate]:
    rng = np.random.default_rng(0)
    return [
        candidate(float(latency), float(score), int(rng.integers(1, 5)))
        for latency, score in rng.random((count, 2))
    ]


def test_the_front_is_what_nothing_beats() -> None:
    candidates = [*random_candidates(200), candidate(0.0, None)]
    front = front_of(candidates)
    for one in candidates:
        beaten = one.proxy is None or any(
            other.proxy is not None
            and (other.proxy, -other.predicted_seconds) != (one.proxy, -one.predicted_seconds)
            and other.proxy >= one.proxy
            and other.predicted_seconds <= one.predicted_seconds
            for other in candidates
        )
        assert (one in front) == (not beaten)


def test_hypervolumes_are_those_of_pymoo() -> None:
    from pymoo.indicators.hv import HV

    candidates, limit = random_candidates(200), 0.9
    latency = np.array([c.predicted_seconds for c in candidates])
    score = np.array([c.proxy for c in candidates])
    generation = np.array([c.generation for c in candidates])
    points = np.stack(
        [
            (latency - latency.min()) / (limit - latency.min()),
            (score.max() - score) / np.ptp(score),
        ],
        axis=1,
    )
    exact = HV(ref_point=np.ones(2))
    wanted = [exact(points[generation <= last]) for last in range(1, 5)]
    assert hypervolumes(candidates, limit) == pytest.approx(wanted)
    assert wanted == sorted(wanted)


def test_hypervolumes_of_nothing_to_speak_of() -> None:
    assert hypervolumes([], 1.0) == ()
    assert hypervolumes([candidate(0.5, 1.0)], 1.0) == (0.0,)
    slow = [candidate(2.0, 1.0), candidate(3.0, 2.0, 2)]
    assert hypervolumes(slow, 1.0) == (0.0, 0.0)


def test_the_spread_includes_both_ends() -> None:
    front = front_of([candidate(float(n), float(n)) for n in range(10)])
    assert [c.proxy for c in spread_over(front, 4)] == [0.0, 3.0, 6.0, 9.0]
    assert len(spread_over(front[:2], 4)) == 2


def test_a_pareto_search_measures_its_front(world: Any, tmp_path: Path) -> None:
    limit = replace(world.limit, window=WHOLE)
    assert isinstance(limit, LatencyLimit)
    found = world.search(
        tmp_path, method="pareto", limit=limit, settings=MethodSettings(20, 6), finalists=4
    )
    assert found.winner.measured_seconds <= limit.seconds
    front = found.front
    assert front[0].predicted_seconds < 0.5 * limit.seconds
    assert sum(c.measured_seconds is not None for c in front) >= 4
    assert found.campaigns[-1].endswith("-front")
    assert len(found.hypervolumes) == found.generations
    assert found.hypervolumes[-1] > found.hypervolumes[0]
    document = found.to_json()
    assert document["front"] == [str(c.architecture) for c in front]
    assert type(found).from_json(document) == found
