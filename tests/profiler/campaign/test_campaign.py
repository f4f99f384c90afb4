import itertools
import tempfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import InputError, RunError
from atb.models.published import PUBLISHED
from atb.models.space import find_space
from atb.profiler.campaign.campaign import measure, run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.statistics.measurement import WIDTH_TOLERANCE

MINI = find_space("mini")
SETTINGS = RunSettings()


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def database(location):
    with ProfileDatabase(location, create=True) as database:
        yield database


def run(device, plan, database, **fields):
    return run_campaign(device, device.runtimes["fake"], SETTINGS, plan, database, **fields)


def sampled(count, **fields):
    return Plan.sample(MINI, count, **fields)


def places(database, label=None):
    """(campaign, architecture, launch, block) of everything measured, in the order measured."""
    found = [
        (m.campaign, str(m.architecture), r.launch, r.block, r.readings.started_at)
        for m in read_measurements(database, campaign=label)
        for r in m.blocks
    ]
    return [place[:4] for place in sorted(found, key=lambda place: place[4])]


def rows(database):
    """All that is measured, but for when."""

    def readings(block):
        return block.wall_seconds, block.cpu_seconds, block.warmup_seconds

    return [
        (
            m.campaign,
            r.subject,
            r.launch,
            r.block,
            r.artefact_sha256,
            readings(r.readings),
            readings(r.sentinel_before),
            readings(r.sentinel_after),
        )
        for m in read_measurements(database)
        for r in m.blocks
    ]


def test_a_quiet_device_is_measured_exactly(database):
    device = FakeDevice()
    result = run(device, sampled(10), database)
    assert result.ended_by == "complete"
    assert [m.architecture for m in result.measurements] == list(sampled(10).subjects)
    for found in result.measurements:
        truth = device.latency(found.architecture, SETTINGS)
        assert found.latency_seconds == pytest.approx(truth)
        assert not found.flagged


def test_the_same_plan_says_the_same_after_the_machine_was_seen_faster(database, monkeypatch):
    for name in ("LEVEL_BLOCKS", "_FEWEST_LEVEL_BLOCKS"):
        monkeypatch.setattr(f"atb.profiler.statistics.sentinel.{name}", 20)
    factors = [1.1]
    device = FakeDevice(slowdown=lambda _: factors[-1])
    first = run(device, sampled(3), database).measurements
    factors.append(1.0)
    run(device, sampled(3, name="later"), database)
    # what the sentinel takes when nothing disturbs is known better now
    now = read_measurements(database, campaign=first[0].campaign)
    assert all(m.sentinel_reference < 0.95 * first[0].sentinel_reference for m in now)
    assert run(device, sampled(3), database).measurements == first


@pytest.mark.slow
def test_every_architecture_has_three_blocks_in_each_of_five_launches(database):
    run(FakeDevice(), sampled(30), database)
    counts = Counter((a, launch) for _, a, launch, _ in places(database))
    assert len(counts) == 150
    assert set(counts.values()) == {3}


@pytest.mark.slow
def test_blocks_of_many_architectures_are_interleaved(database):
    run(FakeDevice(), sampled(20), database)
    order = [architecture for _, architecture, _, _ in places(database)]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes > 0.95 * len(order)


def test_blocks_last_as_long_as_planned_and_the_sentinel_stands_on_both_sides(database):
    run(FakeDevice(), sampled(5), database)
    for found in read_measurements(database):
        for record in found.blocks:
            plan = sampled(5)
            assert len(record.readings.wall_seconds) >= plan.fewest_iterations
            assert sum(record.readings.wall_seconds) >= plan.block_seconds
            assert len(record.readings.warmup_seconds) == 1
            assert record.state["frequency_hertz"] == 3e9
            before, after = record.sentinel_before, record.sentinel_after
            assert before.started_at < record.readings.started_at < after.started_at


@pytest.mark.slow
def test_noise_is_averaged_out(database):
    device = FakeDevice(noise=0.03, launch_noise=0.02, preemption=0.1, seed=4)
    for found in run(device, sampled(30), database).measurements:
        truth = device.latency(found.architecture, SETTINGS)
        # low quantiles of a noise that goes both ways lie below its middle, by the same for all
        assert found.latency_seconds == pytest.approx(truth, rel=0.07)
        assert found.wall_seconds >= found.latency_seconds * 0.98


def test_the_same_command_measures_nothing_twice(database):
    device = FakeDevice(noise=0.02)
    run(device, sampled(5), database)
    before, clock = rows(database), device.now()
    result = run(device, sampled(5), database)
    assert rows(database) == before
    assert device.now() == clock  # not even a worker was started
    assert len(result.measurements) == 5


@pytest.mark.slow
def test_more_samples_add_to_a_campaign(database):
    device = FakeDevice()
    run(device, sampled(4), database)
    before = places(database)
    result = run(device, sampled(9), database)
    assert len(result.measurements) == 9
    assert places(database)[: len(before)] == before
    assert len(places(database)) == 9 * 15
    assert {campaign for campaign, *_ in places(database)} == {"profile"}


def test_fewer_samples_return_the_fewer_and_measure_nothing(database):
    device = FakeDevice()
    run(device, sampled(6), database)
    result = run(device, sampled(2), database)
    assert [m.architecture for m in result.measurements] == list(sampled(2).subjects)
    assert len(places(database)) == 6 * 15


def test_a_new_campaign_measures_again_under_a_number(database):
    device = FakeDevice()
    assert run(device, sampled(2), database).campaign == "profile"
    assert run(device, sampled(2), database, new=True).campaign == "profile-2"
    assert len(places(database)) == 2 * 2 * 15


def test_measure_begins_a_new_campaign_and_keeps_the_order(database):
    device = FakeDevice()
    wanted = [PUBLISHED["s4"], PUBLISHED["bert-tiny"], PUBLISHED["kd-s4"]]
    for _ in range(2):
        found = measure(
            device, device.runtimes["fake"], SETTINGS, wanted, database, name="finalists"
        )
        assert [m.architecture for m in found] == wanted
    assert [c.label for c in database.campaigns()] == ["finalists", "finalists-2"]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_interrupted_campaign_ends_with_the_rows_of_one_that_ran_through(
    tmp_path, seed, temporary
):
    rng = np.random.default_rng(seed)
    with ProfileDatabase(tmp_path / "through.db", create=True) as through:
        run(FakeDevice(), sampled(8), through)
        expected = rows(through)

    def interrupt(done, wanted, text):
        if rng.random() < 0.05:
            raise KeyboardInterrupt

    interrupts = 0
    with ProfileDatabase(tmp_path / "cut.db", create=True) as cut:
        for attempt in range(200):
            try:
                run(FakeDevice(), sampled(8), cut, progress=interrupt if attempt < 50 else None)
                break
            except KeyboardInterrupt:
                interrupts += 1
                assert list(temporary.iterdir()) == []  # no artefact is left behind
        assert rows(cut) == expected
    assert interrupts > 1


@pytest.mark.slow
def test_a_precision_asked_for_takes_launches_until_it_is_reached(database):
    device = FakeDevice(noise=0.02, preemption=0.05, seed=1)
    few = run(device, sampled(12), database)
    within = float(np.median([m.estimate.relative_half_width for m in few.measurements]))
    result = run(device, sampled(12, within=within, most_launches=60), database)
    assert result.ended_by == "within"
    for found in result.measurements:
        assert found.estimate.relative_half_width <= within * (1 + WIDTH_TOLERANCE)
        assert not found.flagged
        assert found.sequential
    launches = {m.architecture: m.launches for m in result.measurements}
    assert max(launches.values()) > 5
    assert min(launches.values()) == 5  # who was narrow enough is not measured more


def test_a_precision_is_looked_at_after_fewer_launches_than_are_usual(database):
    plan = sampled(6, within=0.05)
    result = run(FakeDevice(noise=0.005), plan, database)
    assert {m.launches for m in result.measurements} == {plan.fewest_launches}
    assert plan.fewest_launches < plan.launches


def test_a_precision_out_of_reach_ends_with_the_most_launches(database):
    device = FakeDevice(noise=0.2, seed=1)
    result = run(device, sampled(2, within=0.0001, most_launches=7), database)
    assert result.ended_by == "most-launches"
    assert [m.launches for m in result.measurements] == [7, 7]
    assert all("wider than the 0.01% asked for" in m.reasons[-1] for m in result.measurements)


@pytest.mark.slow
def test_only_whose_interval_crosses_the_limit_gets_more_than_the_most_launches(tmp_path):
    plan = sampled(12, within=0.001, most_launches=4, most_launches_at_limit=12)
    with ProfileDatabase(tmp_path / "without.db", create=True) as without:
        known = run(FakeDevice(noise=0.03, seed=1), plan, without).measurements
    assert {m.launches for m in known} == {4}
    middle = sorted(known, key=lambda m: m.latency_seconds)[6]
    limit = middle.latency_seconds * (1 + 0.3 * middle.estimate.relative_half_width)
    with ProfileDatabase(tmp_path / "with.db", create=True) as database:
        device = FakeDevice(noise=0.03, seed=1)
        found = run(device, replace(plan, limit_seconds=limit), database).measurements
    launches = {m.architecture: m.launches for m in found}
    assert 4 < launches.pop(middle.architecture) <= 12
    assert set(launches.values()) == {4}


def test_a_limit_needs_a_precision_that_is_asked_for():
    with pytest.raises(InputError, match="needs a precision"):
        sampled(2, limit_seconds=0.01)


@pytest.mark.slow
def test_a_budget_ends_a_campaign_that_a_later_one_completes(database):
    device = FakeDevice()
    start = device.now()
    result = run(device, sampled(20, budget_seconds=5.0), database)
    assert result.ended_by == "budget"
    assert 5.0 <= device.now() - start < 6.0
    assert 0 < len(places(database)) < 300
    assert any(
        "of 3 launches measured" in reason for m in result.measurements for reason in m.reasons
    )
    assert run(device, sampled(20), database).ended_by == "complete"
    assert len(places(database)) == len(set(places(database))) == 300


@pytest.mark.slow
def test_a_machine_that_stays_slow_is_flagged_after_waiting_and_repeats(database):
    device = FakeDevice(slowdown=lambda elapsed: 1.0 if elapsed < 5 else 1.5)
    plan = sampled(8)
    result = run(device, plan, database)
    assert len(result.measurements) == 8
    assert all("machine +50% off its level" in m.reasons for m in result.measurements)
    assert {m.launches for m in result.measurements} == {plan.launches + plan.repeats}
    assert device.now() - FakeDevice().now() > plan.wait_seconds


def test_a_disturbance_that_passes_is_waited_out_and_what_fell_into_it_is_measured_again(database):
    device = FakeDevice(slowdown=lambda elapsed: 1.2 if 4 < elapsed < 24 else 1.0)
    result = run(device, sampled(8), database)
    assert result.ended_by == "complete"
    for found in result.measurements:
        assert not found.flagged
        truth = device.latency(found.architecture, SETTINGS)
        assert found.latency_seconds == pytest.approx(truth, rel=0.01)
    shifted = [m.to_json()["shifted_blocks"] for m in result.measurements]
    assert sum(shifted) > 0  # nothing measured is dropped


@pytest.mark.slow
def test_without_time_to_wait_nothing_is_waited_for(database):
    device = FakeDevice(slowdown=lambda elapsed: 1.0 if elapsed < 5 else 1.5)
    run(device, sampled(8, wait_seconds=0.0, repeats=0), database)
    assert device.now() - FakeDevice().now() < 30


@pytest.mark.slow
def test_heavy_preemption_is_flagged_and_still_near_the_truth(database):
    device = FakeDevice(preemption=0.95, seed=2)
    result = run(device, sampled(5), database)
    for found in result.measurements:
        assert any("preempted" in reason for reason in found.reasons)
        truth = device.latency(found.architecture, SETTINGS)
        assert found.latency_seconds == pytest.approx(truth, rel=0.01)
        assert found.wall_seconds > truth


def test_progress_counts_every_block_and_says_what_goes_on(database):
    seen = []
    run(FakeDevice(), sampled(3), database, progress=lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert {wanted for _, wanted, _ in seen} == {45}
    assert {"building", "loading", "launch 1", "launch 3"} <= {
        text.split(": ")[-1] for _, _, text in seen
    }


def test_progress_tells_no_end_where_measuring_decides_it(database):
    seen = []
    plan = sampled(3, within=0.002, most_launches=8)
    run(FakeDevice(noise=0.02), plan, database, progress=lambda *step: seen.append(step))
    assert {wanted for _, wanted, _ in seen} == {0}
    assert seen[-1][0] > 3 * plan.fewest_launches * plan.blocks


def test_launches_that_replace_others_do_not_move_the_end_that_was_told(database):
    seen = []
    device = FakeDevice(slowdown=lambda elapsed: 1.0 if elapsed < 3 else 1.5)
    plan = sampled(5, wait_seconds=0.1)
    run(device, plan, database, progress=lambda *step: seen.append(step))
    assert {wanted for _, wanted, _ in seen} == {5 * plan.launches * plan.blocks, 0}


def test_a_full_disk_ends_a_campaign_that_goes_on_later(database):
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")
    device = FakeDevice()
    with pytest.raises(RunError, match="full"):
        run(device, sampled(10), database)
    kept = places(database)
    assert 0 < len(kept) < 150
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    run(device, sampled(10), database)
    assert places(database)[: len(kept)] == kept
    assert len(set(places(database))) == len(places(database)) == 150


def test_a_campaign_that_somebody_else_measures_is_refused(database, location, monkeypatch):
    monkeypatch.setattr("atb.profiler.database.writer._LOCK_WAIT_SECONDS", 0.1)
    run(FakeDevice(), sampled(2), database)
    before = places(database)
    (campaign,) = database.campaigns()
    refused = pytest.raises(RunError, match="is being measured by another process")
    with ProfileDatabase(location, create=True) as other, other.campaign_lock(campaign), refused:
        run(FakeDevice(), sampled(3), database)
    assert places(database) == before
    run(FakeDevice(), sampled(3), database)
    assert {place[0] for place in places(database)} == {campaign.label}
    assert len(places(database)) > len(before)
