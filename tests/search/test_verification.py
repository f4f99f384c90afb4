"""Which finalists are measured, and which of them wins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atb.devices.fake.device import FakeDevice
from atb.models.architecture import Architecture
from atb.predictor.predictor import ExactPredictor
from atb.profiler.database.writer import ProfileDatabase
from atb.search.candidate import Candidate
from atb.search.targets import Target, Targets
from atb.search.verification import Verification, choose_finalists, verify


def candidate(number: int, predicted: float, upper: float | None = None) -> Candidate:
    architecture = Architecture(1, 128, 2, 64, 128 + 32 * number)
    return Candidate(architecture, predicted, upper or predicted, -float(number), 1)


def test_the_best_are_chosen_and_two_of_five_are_safe() -> None:
    candidates = [candidate(n, 0.98, 1.02) for n in range(6)] + [
        candidate(n, 0.90, 0.94) for n in range(6, 10)
    ]
    chosen = choose_finalists(candidates, 1.0, 5)
    assert [int(-c.proxy) for c in chosen] == [0, 1, 2, 6, 7]


def test_without_safe_ones_the_best_are_chosen_and_none_above_the_limit() -> None:
    candidates = [candidate(0, 1.05), *(candidate(n, 0.98, 1.02) for n in range(1, 9))]
    chosen = choose_finalists(candidates, 1.0, 5)
    assert [int(-c.proxy) for c in chosen] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_no_more_are_chosen_than_there_are_or_were_asked_for(count: int) -> None:
    candidates = [candidate(n, 0.9) for n in range(6)]
    chosen = choose_finalists(candidates, 1.0, count)
    assert len(chosen) == min(count, 6)
    assert len(set(chosen)) == len(chosen)


def exact_candidates(world: Any, bias: float = 1.0) -> list[Candidate]:
    """Candidates as a predictor with this bias sees them; the largest score best."""
    device = FakeDevice()
    made = []
    for layers in (6, 5, 4, 3, 2, 1):
        architecture = Architecture(layers, 256, 4, 128, 512)
        seconds = bias * device.latency(architecture, world.settings)
        made.append(Candidate(architecture, seconds, seconds, float(layers), 1))
    return made


def targets_of(world: Any, database: ProfileDatabase, limit_seconds: float) -> Targets:
    verifier = world.verifier(database)
    latency = ExactPredictor.of_latency(
        verifier.conditions, lambda a: FakeDevice().latency(a, world.settings)
    )
    return Targets((Target(latency, verifier),), limit_seconds)


def test_the_next_best_are_measured_until_one_meets_the_limit(world: Any, tmp_path: Path) -> None:
    candidates = exact_candidates(world, bias=0.8)
    limit = 1.02 * FakeDevice().latency(candidates[2].architecture, world.settings)
    with ProfileDatabase(tmp_path / "profile.db", create=True) as database:
        found = verify(
            candidates,
            limit,
            targets_of(world, database, limit),
            campaign="finalists",
            finalists=1,
            known=Verification(),
        )
    # the first one measured is too slow, which shows the bias; then the right one is taken
    assert found.winner == candidates[2].architecture
    assert found.campaigns == ["finalists-1", "finalists-2"]
    assert found.correction(lambda a: 0.8 * FakeDevice().latency(a, world.settings)) == (
        pytest.approx(1.25, rel=1e-6)
    )


def test_nothing_wins_when_everything_is_too_slow(world: Any, tmp_path: Path) -> None:
    candidates = exact_candidates(world, bias=0.01)
    with ProfileDatabase(tmp_path / "profile.db", create=True) as database:
        found = verify(
            candidates,
            1e-5,
            targets_of(world, database, 1e-5),
            campaign="finalists",
            finalists=5,
            known=Verification(),
        )
    assert found.winner is None
    assert len(found.measured) >= 5


class Told:
    """Measures as it is told: seconds and half width of the interval by architecture."""

    def __init__(self, readings: dict[Architecture, tuple[float, float]]) -> None:
        self.readings = readings
        self.campaigns: dict[str, int] = {}
        self.limits: set[float | None] = set()

    is_spent = False

    def measure(
        self,
        architectures: Any,
        campaign: str,
        progress: Any = None,
        *,
        limit_seconds: float | None = None,
    ) -> Any:
        self.campaigns[campaign] = len(architectures)
        self.limits.add(limit_seconds)
        return {
            a: SimpleNamespace(
                latency_seconds=self.readings[a][0],
                interval_seconds=(
                    self.readings[a][0] - self.readings[a][1],
                    self.readings[a][0] + self.readings[a][1],
                ),
            )
            for a in architectures
        }


def verified(candidates: list[Candidate], verifier: Told) -> Verification:
    return verify(
        candidates,
        1.0,
        verifier,  # type: ignore[arg-type]
        campaign="told",
        finalists=5,
        known=Verification(),
    )


def told_winner(readings: list[tuple[float, float]]) -> int | None:
    candidates = [candidate(number, 0.9) for number in range(len(readings))]
    verifier = Told({c.architecture: r for c, r in zip(candidates, readings, strict=True)})
    found = verified(candidates, verifier)
    return next((n for n, c in enumerate(candidates) if c.architecture == found.winner), None)


def test_a_safe_winner_is_preferred_to_a_better_one_whose_interval_crosses_the_limit() -> None:
    assert told_winner([(0.99, 0.02), (0.95, 0.02), (0.90, 0.02)]) == 1


def test_without_a_safe_one_the_best_whose_latency_meets_the_limit_wins() -> None:
    assert told_winner([(1.01, 0.02), (0.99, 0.02), (0.985, 0.02)]) == 1


def test_a_better_one_is_measured_although_a_winner_was_found() -> None:
    readings = [(1.0, 0.01)] * 3 + [(0.97, 0.01)] * 2 + [(0.90, 0.01)] * 2
    predicted = [(0.98, 1.02)] * 3 + [(0.95, 1.02)] * 2 + [(0.92, 0.96)] * 2
    # the first group holds the best three, and the two that are predicted to be safe
    candidates = [candidate(number, *seconds) for number, seconds in enumerate(predicted)]
    verifier = Told({c.architecture: r for c, r in zip(candidates, readings, strict=True)})
    found = verified(candidates, verifier)
    assert found.winner == candidates[3].architecture
    assert verifier.campaigns == {"told-1": 5, "told-2": 2}
    assert verifier.limits == {1.0 / 1.01}


def test_nothing_above_the_limit_wins() -> None:
    assert told_winner([(1.01, 0.02), (1.0001, 0.0)]) is None
