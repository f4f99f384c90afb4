from collections import Counter

import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan, plan_of
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.scenarios import SustainedCurve

SHAPES = (Architecture(2, 128, 4, 128, 256), Architecture(4, 192, 4, 128, 384))


@pytest.fixture
def run(location):
    """Measure both shapes in a scenario on a simulated device."""

    def run(device, scenario, *, duration_seconds=None, **settings):
        plan = Plan(SHAPES, **plan_of(scenario, duration_seconds=duration_seconds))
        with ProfileDatabase(location, create=True) as database:
            chosen = RunSettings(scenario=scenario, **settings)
            result = run_campaign(device, device.runtimes["fake"], chosen, plan, database)
        assert len(result.measurements) == len(SHAPES)
        return result.measurements

    return run


def test_a_cold_start_is_the_load_and_the_first_inference_of_a_fresh_process(run):
    device = FakeDevice()
    for found in run(device, "cold-start"):
        assert found.launches == 10
        assert set(Counter(r.launch for r in found.blocks).values()) == {1}
        assert all(len(r.readings.wall_seconds) == 1 for r in found.blocks)
        warm = device.latency(found.architecture, RunSettings())
        assert found.latency_seconds > 2 * warm  # it holds a load, and a first inference is slower
        assert not found.flagged


def test_a_sustained_run_shows_the_curve_of_a_device_that_gets_hot(run):
    hot = FakeDevice(slowdown=lambda elapsed: 1.0 + 0.5 * min(1.0, (elapsed % 40) / 20))
    for found in run(hot, "sustained", duration_seconds=30):
        assert found.launches == 1
        assert len(found.curve.latency_seconds) == 30
        assert found.curve.at_seconds[-1] > 25
        assert found.curve.sustained_over_first > 1.05
        assert not found.flagged  # slowing down is what it is to show
        assert found.to_json()["sustained_over_first"] == found.curve.sustained_over_first


def test_throughput_counts_the_requests_of_all_streams(run):
    one = {m.subject: m.requests_per_second for m in run(FakeDevice(), "throughput")}
    four = {m.subject: m.requests_per_second for m in run(FakeDevice(), "throughput", streams=4)}
    for shape in SHAPES:
        assert four[shape] > 1.5 * one[shape]
        alone = 1 / FakeDevice().latency(shape, RunSettings())
        assert one[shape] == pytest.approx(alone, rel=0.05)


@pytest.mark.parametrize("streams", [1, 3, 8])
def test_every_launch_of_a_throughput_has_blocks_of_as_many_requests(run, streams):
    for found in run(FakeDevice(), "throughput", streams=streams):
        requests = Counter(len(r.readings.wall_seconds) for r in found.blocks)
        assert len(requests) == 1
        assert max(requests) % streams == 0
        assert len({r.launch for r in found.blocks}) == 5


def test_streams_that_wait_for_each_other_were_not_preempted(run):
    device = FakeDevice()  # of four CPUs: eight streams take turns
    for found in run(device, "throughput", streams=8):
        assert not found.flagged
        assert found.estimator == "median-with-waits"
        alone = device.latency(found.architecture, RunSettings())
        assert found.latency_seconds == pytest.approx(2 * alone, rel=0.01)


def test_fewer_streams_than_there_are_cpus_show_who_preempts_them(run):
    for found in run(FakeDevice(preemption=1.0), "throughput", streams=2):
        assert found.estimator == "median"
        assert any("preempted" in reason for reason in found.reasons)


@pytest.mark.parametrize("scenario", ["fixed-rate", "single-shot"])
def test_a_device_that_sleeps_in_between_is_slower(run, scenario):
    for found in run(FakeDevice(), scenario, interval_seconds=0.5):
        hot = FakeDevice().latency(found.architecture, RunSettings())
        assert found.latency_seconds > hot
        assert found.estimator == "median"


def test_the_sentinel_of_a_paced_scenario_does_not_sleep(run):
    device = FakeDevice()
    began = device.now()
    found = run(device, "single-shot", interval_seconds=2.0)
    slept = sum(2.0 * (1 + len(r.readings.wall_seconds)) for m in found for r in m.blocks)
    settling = 2.0 * 60  # loads are settled at the same pace
    assert device.now() - began < slept + settling


def test_a_curve_is_in_the_order_of_time(make_record):
    from dataclasses import replace

    records = [
        replace(r, readings=replace(r.readings, started_at=10.0 - i))
        for i, r in enumerate(make_record(0, i, 0.010 + i / 1000) for i in range(4))
    ]
    curve = SustainedCurve.of(records)
    assert curve.at_seconds == (0.0, 1.0, 2.0, 3.0)
    assert curve.latency_seconds == pytest.approx((0.013, 0.012, 0.011, 0.010))
