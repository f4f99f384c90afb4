"""One model for several devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_world import ExactPredictor

from atb.devices.fake.device import FakeCosts, FakeDevice
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.profiler.database.writer import ProfileDatabase
from atb.search.request import SearchRequest
from atb.search.result import SearchResult
from atb.search.run import search
from atb.search.scoring.proxy import ExactProxy
from atb.search.targets import Target, Targets
from atb.search.verifier import Verifier


def slow_layers(world: Any, database: ProfileDatabase, limit_seconds: float) -> Target:
    """A device on which each layer costs a millisecond more."""
    costs = FakeCosts(layer_seconds=FakeCosts().layer_seconds + 0.001)
    device = FakeDevice(costs=costs)
    predictor = ExactPredictor(
        world.conditions, lambda rows: world.latency(rows) + 0.001 * rows[:, 0]
    )
    verifier = Verifier(device, device.runtimes["fake"], world.settings, database)
    return Target(predictor, verifier, "slow", limit_seconds)


def joint_search(world: Any, folder: Path, limit_seconds: float) -> SearchResult:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        ProfileDatabase(folder / "profile.db", create=True) as database,
        ProfileDatabase(folder / "elsewhere.db", create=True) as other,
    ):
        return search(
            SearchRequest(world.space, world.limit, settings=world.short),
            [
                Target(world.predictor(), world.verifier(database)),
                slow_layers(world, other, limit_seconds),
            ],
            ExactProxy(),
            folder / "out",
        )


def test_the_joint_prediction_is_the_largest_share_of_a_limit(world: Any, tmp_path: Path) -> None:
    with ProfileDatabase(tmp_path / "profile.db", create=True) as database:
        first = Target(world.predictor(), world.verifier(database))
        other = slow_layers(world, database, 0.004)
        joint = Targets((first, other), 0.008)
        rows = world.candidates().rows()
        found = joint.predict(rows).latency_seconds
    shares = np.maximum(
        world.latency(rows) / 0.008, other.predictor.predict(rows).latency_seconds / 0.004
    )
    assert found == pytest.approx(0.008 * shares)


def test_the_winner_meets_every_limit(world: Any, tmp_path: Path) -> None:
    found = joint_search(world, tmp_path, 0.010)
    winner = found.winner
    (there,) = winner.further_targets
    assert winner.measured_seconds == pytest.approx(
        world.latency(np.array([row(winner.architecture)]))[0], rel=1e-6
    )
    assert winner.measured_seconds <= 0.008
    assert there.measured_seconds == pytest.approx(
        winner.measured_seconds + 0.001 * winner.architecture.layers
    )
    assert there.measured_seconds <= there.limit_seconds == 0.010
    # one of the limits is used up
    assert max(winner.measured_seconds / 0.008, there.measured_seconds / 0.010) > 0.85
    assert winner.predicted_seconds == pytest.approx(winner.measured_seconds)
    assert SearchResult.from_json(found.to_json()) == found


@pytest.mark.slow
def test_a_tight_limit_elsewhere_changes_the_winner(world: Any, tmp_path: Path) -> None:
    loose = joint_search(world, tmp_path / "loose", 1.0)
    tight = joint_search(world, tmp_path / "tight", 0.008)
    assert tight.winner.architecture.layers < loose.winner.architecture.layers or (
        tight.winner.measured_seconds < loose.winner.measured_seconds
    )
    assert tight.request != loose.request


def test_a_limit_elsewhere_below_reach_is_told(world: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="below reach"):
        joint_search(world, tmp_path, 0.0001)
    assert not (tmp_path / "out").exists()


def row(a: Architecture) -> list[int]:
    return [a.layers, a.hidden, a.heads, a.qkv, a.feed_forward]
