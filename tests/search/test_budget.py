"""Time for measuring finalists that is over before all is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atb.devices.fake.device import FakeDevice
from atb.errors import RunError
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.search.scoring.proxy import ExactProxy
from atb.search.targets import Target, Targets
from atb.search.verifier import Budget


def blocks(folder: Path) -> int:
    with ProfileDatabase(folder / "profile.db") as database:
        return sum(
            len(measurement.blocks)
            for campaign in database.campaigns()
            for measurement in read_measurements(database, campaign=campaign.label)
        )


def is_finished(folder: Path) -> bool:
    return bool(json.loads((folder / "out" / "search.json").read_text())["finished"])


def restless() -> FakeDevice:
    """Whose intervals stay wide, so that finalists are measured again and again."""
    return FakeDevice(launch_noise=0.06)


@pytest.mark.slow
def test_what_is_known_when_the_time_is_over_decides_and_the_same_call_goes_on(
    world: Any, tmp_path: Path
) -> None:
    device = restless()
    result = world.search(tmp_path, device=device, budget_seconds=3.0)
    assert result.winner.measured_seconds <= 0.008
    assert 2.5 < device.elapsed < 4.5  # of the simulated clock
    measured = blocks(tmp_path)
    assert not is_finished(tmp_path)
    proxy = ExactProxy()
    further = world.search(tmp_path, device=restless(), proxy=proxy)
    assert proxy.calls == further.evaluations - result.evaluations  # no score anew
    assert blocks(tmp_path) > measured
    assert is_finished(tmp_path)


def test_a_budget_that_suffices_changes_nothing(world: Any, tmp_path: Path) -> None:
    free = world.search(tmp_path / "free", device=FakeDevice())
    told = world.search(tmp_path / "told", device=FakeDevice(), budget_seconds=1e4)
    assert told.winner.architecture == free.winner.architecture
    assert is_finished(tmp_path / "told")


def test_a_budget_in_which_nothing_was_measured_is_told_and_costs_no_score(
    world: Any, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"budget was spent before .* 8.00 ms \(0 measured\)"):
        world.search(tmp_path, budget_seconds=1e-9)
    proxy = ExactProxy()
    assert world.search(tmp_path, proxy=proxy).winner.measured_seconds <= 0.008
    assert proxy.calls == 0


def test_a_budget_is_spent_by_all_campaigns_together() -> None:
    budget = Budget(10.0)
    budget.spend(6.0)
    assert not budget.is_spent
    budget.spend(6.0)
    assert budget.is_spent
    endless = Budget()
    endless.spend(1e9)
    assert not endless.is_spent


def test_the_time_of_several_targets_is_over_where_that_of_one_is(
    world: Any, tmp_path: Path
) -> None:
    with ProfileDatabase(tmp_path / "profile.db", create=True) as database:
        free, spent = world.verifier(database), world.verifier(database, budget_seconds=0.0)
        for first, other, expected in (
            (free, free, False),
            (spent, free, True),
            (free, spent, True),
        ):
            members = (
                Target(world.predictor(), first),
                Target(world.predictor(), other, "other", 0.01),
            )
            assert Targets(members, 0.008).is_spent is expected
