import math
from dataclasses import replace

import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan, plan_of
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.energy import energy_of_inference

WATTS = 8.0
SHAPES = (Architecture(2, 128, 4, 128, 256), Architecture(4, 192, 4, 128, 384))


class Laptop(FakeDevice):
    """Draws `WATTS` out of a battery whose gauge moves in steps, and now and then."""

    def __init__(self, step_joules, refresh_seconds, *, doing="Discharging", charger=None):
        super().__init__(noise=0.01)
        self.step_joules, self.refresh_seconds = step_joules, refresh_seconds
        self.told = {"battery_state": doing, "charger": charger}

    def state(self):
        at = self.elapsed
        if self.refresh_seconds:
            at = math.floor(at / self.refresh_seconds) * self.refresh_seconds
        left = 200_000 - WATTS * at
        if self.step_joules:
            left = math.floor(left / self.step_joules) * self.step_joules
        return {**super().state(), **self.told, "battery_joules": left}


@pytest.fixture
def run(location):
    def run(device, scenario="hot-loop", seconds=None):
        settings = RunSettings(scenario=scenario)
        plan = Plan(SHAPES, **plan_of(scenario, duration_seconds=seconds))
        with ProfileDatabase(location, create=True) as database:
            return run_campaign(
                device, device.runtimes["fake"], settings, plan, database
            ).measurements

    return run


@pytest.mark.parametrize(("step", "refresh"), [(36.0, 2.0), (36.0, 0.0), (0.001, 30.0)])
def test_a_gauge_too_coarse_for_short_blocks_tells_no_energy_rather_than_zero(run, step, refresh):
    for found in run(Laptop(step, refresh)):
        assert found.energy_joules is None
        assert "energy_joules" not in found.to_json()


@pytest.mark.parametrize(
    ("step", "refresh"),
    [
        (36.0, 2.0),
        pytest.param(40.0, 0.0, marks=pytest.mark.slow),
        pytest.param(0.0036, 5.0, marks=pytest.mark.slow),
    ],
)
def test_a_sustained_run_is_long_enough_for_a_coarse_gauge(run, step, refresh):
    for found in run(Laptop(step, refresh), "sustained", 240):
        assert found.energy_joules == pytest.approx(WATTS * found.latency_seconds, rel=0.1)


def test_a_sustained_run_of_few_steps_tells_nothing(run):
    assert {found.energy_joules for found in run(Laptop(36.0, 2.0), "sustained", 15)} == {None}


def test_a_fine_gauge_tells_the_energy_of_short_blocks(run):
    for found in run(Laptop(0.0, 0.0)):
        assert found.energy_joules == pytest.approx(WATTS * found.latency_seconds, rel=0.05)


@pytest.mark.parametrize(
    ("doing", "charger", "told"),
    [
        ("Discharging", "connected", False),
        ("Charging", None, False),
        ("Full", "connected", False),
        ("Discharging,Charging", None, False),
        (None, None, False),
        ("Discharging", "absent", True),
        ("Not charging,Discharging", "absent", True),  # the other battery has its turn later
    ],
)
def test_a_battery_tells_only_while_it_alone_feeds_the_device(run, doing, charger, told):
    found = run(Laptop(0.0, 0.0, doing=doing, charger=charger))
    assert {m.energy_joules is not None for m in found} == {told}


def test_a_counter_that_did_not_move_in_some_blocks_is_added_up(make_record):
    def record(place, used):
        states = {"energy_joules": 5.0}, {"energy_joules": 5.0 + used}
        return replace(make_record(0, place, 0.010), state=states[0], state_after=states[1])

    moved = [record(i, 0.05) for i in range(5)]
    assert energy_of_inference(moved) == pytest.approx(0.01)
    assert energy_of_inference([record(i, 0.0) for i in range(5)]) is None
    assert energy_of_inference([record(i, 0.2 * (i == 3)) for i in range(5)]) is None
    often = [record(i, 0.1 * (i % 8 != 0)) for i in range(80)]
    assert energy_of_inference(often) == pytest.approx(0.0175)
