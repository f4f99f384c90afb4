import json
from dataclasses import replace

import pytest

from atb.devices.settings import RunSettings
from atb.profiler.statistics.estimators import DEFAULT_ESTIMATOR, ESTIMATORS
from atb.profiler.statistics.measurement import Measurement


@pytest.fixture
def make(architecture, conditions):
    def make(records, **fields):
        return Measurement(architecture, conditions, "c", tuple(records), **fields)

    return make


def test_a_quiet_measurement_is_not_flagged(make, make_record):
    found = make([make_record(launch, b, 0.010, 0.001) for launch in range(3) for b in range(5)])
    assert not found.flagged
    assert found.reasons == ()
    assert found.latency_seconds == pytest.approx(0.010)
    assert found.wall_seconds == 0.010


def test_to_json_has_the_documented_fields_and_is_json(make, make_record):
    document = make([make_record(launch, 0, 0.010) for launch in range(3)]).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document) >= {
        "architecture",
        "conditions",
        "latency_seconds",
        "interval_seconds",
        "estimator",
        "flagged",
        "reasons",
        "campaign",
    }
    assert document["architecture"] == "L2-H128-A4-Q128-F256"
    assert document["estimator"] == DEFAULT_ESTIMATOR.name


def test_too_few_launches_are_a_reason(make, make_record):
    found = make([make_record(0, b, 0.010) for b in range(15)])
    assert found.reasons == ("1 of 3 launches measured",)
    assert not found.usable


def test_an_emulated_processor_is_a_reason_and_the_interval_is_still_sound(
    architecture, conditions, make_record
):
    platform = (*conditions.platform, ("emulated", "qemu-aarch64"))
    records = tuple(make_record(launch, b, 0.010) for launch in range(3) for b in range(5))
    found = Measurement(architecture, replace(conditions, platform=platform), "c", records)
    assert found.flagged
    assert found.reasons == ("emulated by qemu-aarch64",)
    assert found.usable
    assert found.to_json()["reasons"] == ["emulated by qemu-aarch64"]


def test_many_preempted_blocks_are_a_reason_and_few_are_not(make, make_record, make_block):
    records = [make_record(launch, b, 0.010) for launch in range(3) for b in range(5)]
    busy = make_block((0.050,) * 5, (0.0101,) * 5, involuntary=(4,) * 5)
    records[:2] = [replace(record, readings=busy) for record in records[:2]]
    found = make(records)
    assert not found.flagged
    assert found.to_json()["disturbed_blocks"] == 2
    records[:6] = [replace(record, readings=busy) for record in records[:6]]
    assert make(records).reasons == ("6 of 15 blocks preempted",)
    assert not make(records).usable


def test_a_machine_far_off_its_level_is_a_reason(make, make_record):
    records = [make_record(launch, 0, 0.012, 0.0012) for launch in range(3)]
    slower = {(launch, 0): 1.2 for launch in range(3)}
    found = make(records, sentinel_reference=0.001, slowdowns=slower)
    assert "machine +20% off its level" in found.reasons
    assert found.usable  # corrected, with an interval that says how surely
    assert found.to_json()["slowdown"] == 1.2
    assert found.to_json()["shifted_blocks"] == 3


def test_blocks_timed_off_the_level_do_not_count_beside_enough_others(make, make_record):
    records = [make_record(launch, 0, 0.010 if launch else 0.020) for launch in range(4)]
    slower = {(launch, 0): 1.0 if launch else 1.5 for launch in range(4)}
    found = make(records, slowdowns=slower)
    assert found.latency_seconds == pytest.approx(0.010)
    assert not found.flagged
    assert len(found.kept) == 3
    assert len(found.blocks) == 4
    # of two launches at the level nobody knows how launches differ: all count, and it is said
    few = make(records[:3], slowdowns=slower)
    assert len(few.kept) == 3
    assert few.latency_seconds > 0.0101


def test_a_correction_widens_the_interval(make, make_record):
    exact = [make_record(launch, 0, 0.010, 0.001) for launch in range(3)]
    slowed = [make_record(launch, 0, 0.0103, 0.00103) for launch in range(3)]
    widths = [
        make(records, sentinel_reference=0.001).estimate.relative_half_width
        for records in (exact, slowed)
    ]
    assert widths[0] == pytest.approx(0, abs=1e-9)
    assert 0.005 < widths[1] < 0.03


def test_an_interval_wider_than_asked_is_a_reason(make, make_record):
    records = [make_record(launch, 0, 0.010 + launch * 1e-4) for launch in range(3)]
    assert not make(records).flagged
    (reason,) = make(records, within=0.01).reasons
    assert reason == "interval ±2.5%, wider than the 1.00% asked for"


def test_looking_widens_the_interval(make, make_record):
    records = [make_record(launch, 0, 0.010 + launch * 1e-4) for launch in range(3)]
    once, again = (make(records, sequential=sequential) for sequential in (False, True))
    assert once.estimate.relative_half_width < again.estimate.relative_half_width


def test_percentiles_are_told_of_enough_launches_and_lie_above_the_slow_runs(
    make, make_record, make_block
):
    def record(launch, block):
        slow = make_block(tuple(0.010 + 0.0001 * i for i in range(20)))
        return replace(make_record(launch, block, 1.0), readings=slow)

    found = make([record(launch, b) for launch in range(5) for b in range(3)])
    assert set(found.percentiles) == {"p90"}  # 300 runs are too few for the 99th
    assert 0.0117 < found.percentiles["p90"] < 0.0120
    assert found.to_json()["wall_percentiles_seconds"] == found.percentiles
    few = make([record(launch, b) for launch in range(4) for b in range(9)])
    assert few.percentiles == {}
    assert "wall_percentiles_seconds" not in few.to_json()


def test_another_estimator_is_named(make, make_record):
    found = make([make_record(0, 0, 0.010)], method=ESTIMATORS["minimum"])
    assert found.estimator == "minimum"


def test_two_threads_are_judged_by_wall_time(make, make_record, make_block, conditions):
    busy = make_block((0.050,) * 5, (0.010,) * 5, involuntary=(4,) * 5)
    records = [replace(make_record(launch, 0, 1.0), readings=busy) for launch in range(3)]
    two = replace(conditions, settings=RunSettings(threads=2))
    found = replace(make(records), conditions=two)
    assert found.latency_seconds == pytest.approx(0.050)
    assert found.flagged


def test_a_measurement_without_blocks_cannot_exist(make):
    with pytest.raises(ValueError, match="at least one block"):
        make([])
