"""Flags of a measurement: advice on each kind, and clocks whose steps show in the readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atb.devices.contract import Block, LaunchFailure
from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import RunError
from atb.models.architecture import Architecture
from atb.profiler.campaign.campaign import CampaignResult, run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.comparison.comparison import ComparisonPlan, Side
from atb.profiler.comparison.runner import compare
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.record import BlockRecord
from atb.profiler.statistics.measurement import Flag, FlagKind, advice_of, coarse_step_seconds

SMALL = Architecture(2, 128, 2, 128, 512)
SETTINGS = RunSettings(sequence_length=8)


class Clocked:
    """A launch of the simulated device, read by a clock of its own."""

    def __init__(self, launch: Any, read: Callable[[float], float]) -> None:
        self._launch, self._clock = launch, read

    def __enter__(self) -> Clocked:
        self._launch.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._launch.__exit__(*error)

    def run(self, key: str, **how: Any) -> Block:
        block: Block = self._launch.run(key, **how)
        return replace(block, wall_seconds=tuple(map(self._clock, block.wall_seconds)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._launch, name)


def clocked(read: Callable[[float], float]) -> FakeDevice:
    """A device of somebody's own package, which no gate for remote answers sees."""
    device = FakeDevice(noise=0.2)
    device.launch = lambda *words: Clocked(FakeDevice.launch(device, *words), read)  # type: ignore[method-assign, assignment]
    return device


def measure(device: FakeDevice, folder: Path) -> CampaignResult:
    plan = Plan((SMALL,), launches=3)
    with ProfileDatabase(str(folder / "p.db"), create=True) as database:
        return run_campaign(device, device.runtimes["fake"], SETTINGS, plan, database)


@pytest.mark.parametrize("told", [0.0, -1.0, float("nan"), float("inf")])
def test_an_iteration_that_took_no_time_ends_a_campaign_in_one_sentence(
    tmp_path: Path, told: float
) -> None:
    with pytest.raises(RunError, match=r"clock is too coarse.*larger model"):
        measure(clocked(lambda _: told), tmp_path)


def test_an_iteration_that_took_no_time_ends_a_comparison_in_one_sentence() -> None:
    device = clocked(lambda _: 0.0)
    side = Side(SMALL, device.runtimes["fake"], SETTINGS)
    with pytest.raises(RunError, match="clock is too coarse"):
        compare(device, side, side, ComparisonPlan(most_launches=2, pairs=2))


def test_readings_that_are_few_steps_of_a_clock_are_flagged(tmp_path: Path) -> None:
    step = FakeDevice().latency(SMALL, SETTINGS) / 8
    device = clocked(lambda seconds: max(1, round(seconds / step)) * step)
    (found,) = measure(device, tmp_path).measurements
    assert any("of the device's clock" in reason for reason in found.reasons)
    assert not found.usable


def test_a_fine_clock_is_not_flagged(tmp_path: Path) -> None:
    device = clocked(lambda seconds: round(seconds, 9))
    (found,) = measure(device, tmp_path).measurements
    assert not any("clock" in reason for reason in found.reasons)


def records(wall_seconds: Any) -> list[BlockRecord]:
    wall = tuple(map(float, wall_seconds))
    block = Block(1.0, wall, wall, (0,) * len(wall), (0,) * len(wall))
    return [BlockRecord(SMALL, 0, 0, block, sentinel_before=block, sentinel_after=block)]


@pytest.mark.parametrize(
    ("wall_seconds", "step"),
    [
        ([0.015625] * 9 + [0.03125], 0.015625),
        (np.arange(20, 32) * 1e-3, 1e-3),
        (np.arange(1, 10) * 1e-3, None),  # too few
        ([0.01] * 20, None),  # nothing shows
        (np.random.default_rng(0).normal(1, 0.01, 12), None),
        (np.arange(1000, 1020) * 1e-6, None),  # a thousandth of what is timed
    ],
)
def test_the_step_of_a_clock_shows_in_readings_that_are_its_multiples(
    wall_seconds: Any, step: float | None
) -> None:
    found = coarse_step_seconds(records(wall_seconds))
    assert found == (None if step is None else pytest.approx(step))


def test_a_machine_that_ran_at_two_speeds_has_no_coarse_clock() -> None:
    steady, changing, slow = (records(wall) for wall in ([0.1] * 5, [0.1, 0.1, 0.12], [0.12] * 5))
    assert coarse_step_seconds([*changing, *steady, *slow]) is None


def test_a_block_of_no_time_is_no_block() -> None:
    with pytest.raises(LaunchFailure, match=r"took 0\.0 s"):
        records([0.1, 0.0])


def test_advice_is_given_once_for_each_kind_of_flag():
    flags = [Flag(FlagKind.WIDE_INTERVAL, "a"), Flag(FlagKind.PREEMPTED, "b")] * 2
    assert advice_of(flags) == [FlagKind.PREEMPTED.advice, FlagKind.WIDE_INTERVAL.advice]
    assert len({kind.advice for kind in FlagKind}) == len(FlagKind)
