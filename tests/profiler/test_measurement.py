import json
from dataclasses import replace

import pytest

from atb.devices.settings import RunSettings
from atb.profiler.measurement import Measurement
from atb.profiler.statistics import ESTIMATORS


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
    assert document["estimator"] == "median-sentinel-0.6"


def test_too_few_launches_are_a_reason(make, make_record):
    found = make([make_record(0, b, 0.010) for b in range(15)])
    assert found.reasons == ("1 of 3 launches measured",)


def test_many_preempted_blocks_are_a_reason_and_few_are_not(make, make_record, make_block):
    records = [make_record(launch, b, 0.010) for launch in range(3) for b in range(5)]
    busy = make_block((0.050,) * 5, (0.0101,) * 5, involuntary=(4,) * 5)
    records[:2] = [replace(record, readings=busy) for record in records[:2]]
    found = make(records)
    assert not found.flagged
    assert found.to_json()["disturbed_blocks"] == 2
    records[:6] = [replace(record, readings=busy) for record in records[:6]]
    assert make(records).reasons == ("6 of 15 blocks preempted",)


def test_a_drifted_sentinel_is_a_reason(make, make_record):
    records = [make_record(launch, 0, 0.010, 0.001 * (1 + launch / 5)) for launch in range(3)]
    found = make(records, sentinel_reference=0.001)
    assert "sentinel drifted by 40%" in found.reasons


def test_an_interval_wider_than_asked_is_a_reason(make, make_record):
    records = [make_record(launch, 0, 0.010 + launch * 1e-4) for launch in range(3)]
    assert not make(records).flagged
    (reason,) = make(records, within=0.01).reasons
    assert reason == "interval ±2.5%, wider than the 1.00% asked for"


def test_looking_widens_the_interval(make, make_record):
    records = [make_record(launch, 0, 0.010 + launch * 1e-4) for launch in range(3)]
    widths = [make(records, look=look).estimate.relative_half_width for look in range(4)]
    assert widths == sorted(widths)
    assert widths[0] < widths[1]


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
