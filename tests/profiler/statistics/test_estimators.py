import math

import numpy as np
import pytest

from atb.profiler.statistics.estimators import DEFAULT_ESTIMATOR, ESTIMATORS, wall_latency
from atb.profiler.statistics.sentinel import sentinel_level, sentinel_seconds


def estimate(records, name=DEFAULT_ESTIMATOR.name, reference=None, confidence=0.95):
    return ESTIMATORS[name].estimate(records, threads=1, reference=reference, confidence=confidence)


def test_launches_count_alike_however_many_blocks_they_have(make_record):
    records = [make_record(0, b, 0.010) for b in range(9)]
    records += [make_record(1, 0, 0.012), make_record(2, 0, 0.012)]
    expected = (0.010 * 0.012 * 0.012) ** (1 / 3)
    assert estimate(records).seconds == pytest.approx(expected)


def test_an_outlying_block_does_not_move_its_launch(make_record):
    records = [
        make_record(launch, block, 0.100 if block == 4 else 0.010)
        for launch in range(3)
        for block in range(5)
    ]
    assert estimate(records).seconds == pytest.approx(0.010)


def test_the_interval_comes_from_launches_and_not_from_their_many_blocks(make_record):
    levels = (0.0100, 0.0102, 0.0104)
    few = [make_record(launch, 0, levels[launch]) for launch in range(3)]
    many = [make_record(launch, b, levels[launch]) for launch in range(3) for b in range(50)]
    assert estimate(few) == estimate(many)
    # Student's t for 95 % and two degrees of freedom is 4.303
    half = 4.303 * np.log(levels).std(ddof=1) / math.sqrt(3)
    assert math.log(estimate(few).high / estimate(few).seconds) == pytest.approx(half, rel=1e-3)


def test_blocks_that_are_all_alike_give_an_interval_of_no_width(make_record):
    found = estimate([make_record(launch, 0, 0.010) for launch in range(3)])
    assert found.low == found.seconds == found.high == pytest.approx(0.010)


def test_one_launch_takes_its_interval_from_blocks(make_record):
    found = estimate([make_record(0, 0, 0.010), make_record(0, 1, 0.012)])
    assert found.low < 0.010 < found.seconds < 0.012 < found.high


def test_one_block_takes_its_interval_from_its_extremes(make_block, architecture):
    from atb.profiler.record import BlockRecord

    record = BlockRecord(architecture, 0, 0, make_block((0.010, 0.011, 0.013)))
    found = estimate([record])
    assert (found.low, found.high) == (0.010, 0.013)
    assert found.low <= found.seconds <= found.high


def test_a_disturbed_block_does_not_count_beside_undisturbed_ones(make_record, make_block):
    from dataclasses import replace

    records = [make_record(launch, block, 0.010) for launch in range(3) for block in range(2)]
    busy = make_block((0.050,) * 5, (0.015,) * 5, involuntary=(4,) * 5)
    records[0] = replace(records[0], readings=busy)
    assert estimate(records).seconds == pytest.approx(0.010)


def test_the_sentinel_takes_out_what_slows_both(make_record):
    slowdown, exponent = (1.0, 1.1, 1.3), DEFAULT_ESTIMATOR.sentinel_exponent
    records = [
        make_record(launch, 0, 0.010 * slowdown[launch] ** exponent, 0.001 * slowdown[launch])
        for launch in range(3)
    ]
    corrected = estimate(records, reference=0.001)
    assert corrected.seconds == pytest.approx(0.010)
    assert estimate(records, "median", reference=0.001).seconds > 0.0105


def slowed(make_record, slowdowns, exponent):
    """One block in each launch of a model that is slowed by a power of what slows the sentinel."""
    return [
        make_record(launch, 0, 0.010 * slowdown**exponent, 0.001 * slowdown)
        for launch, slowdown in enumerate(slowdowns)
    ]


def test_launches_that_needed_little_correction_count_more(make_record):
    exponent = DEFAULT_ESTIMATOR.sentinel_exponent + 0.1
    error = 0.1 * math.log(1.3)
    found = estimate(slowed(make_record, (1.0, 1.0, 1.3, 1.3), exponent), reference=0.001)
    assert 0 < math.log(found.seconds / 0.010) < error / 4  # half of it if all counted alike
    assert found.low < 0.010


def test_launches_on_both_sides_of_the_level_let_the_corrections_cancel(make_record):
    exponent = DEFAULT_ESTIMATOR.sentinel_exponent + 0.1
    slowdowns = (1.03, 1.03, 1.03, 1 / 1.03)
    found = estimate(slowed(make_record, slowdowns, exponent), reference=0.001)
    alike = 0.1 * math.log(1.03) / 2
    assert 0 <= math.log(found.seconds / 0.010) < alike


def test_no_launch_counts_negatively(make_record):
    exponent = DEFAULT_ESTIMATOR.sentinel_exponent + 0.1
    slowdowns = np.linspace(1.10, 1.20, 6)  # the line through them would lead to 0.010
    records = slowed(make_record, slowdowns, exponent)
    values = DEFAULT_ESTIMATOR.launch_values(records, threads=1, reference=0.001)
    found = estimate(records, reference=0.001)
    assert math.exp(values.min()) <= found.seconds <= math.exp(values.mean())
    assert found.low < 0.010


def test_without_any_correction_launches_count_alike(make_record):
    levels = (0.0100, 0.0102, 0.0107)
    records = [make_record(launch, 0, level) for launch, level in enumerate(levels)]
    assert estimate(records).seconds == pytest.approx(math.prod(levels) ** (1 / 3))


def test_blocks_without_a_sentinel_are_left_as_they_are(make_record):
    records = [make_record(launch, 0, 0.010) for launch in range(3)]
    assert sentinel_seconds(records[0], threads=1) is None
    assert sentinel_level([None, None]) is None
    assert estimate(records, reference=0.001).seconds == pytest.approx(0.010)


def test_the_minimum_estimator_takes_the_fastest_iteration_of_a_block(make_block, architecture):
    from atb.profiler.record import BlockRecord

    records = [
        BlockRecord(architecture, launch, 0, make_block((0.010, 0.011, 0.013)))
        for launch in range(3)
    ]
    assert estimate(records, "minimum").seconds == pytest.approx(0.010)


def test_wall_latency_keeps_the_load(make_block, architecture):
    from atb.profiler.record import BlockRecord

    busy = make_block((0.030,) * 5, (0.010,) * 5, involuntary=(3,) * 5)
    records = [BlockRecord(architecture, launch, 0, busy) for launch in range(3)]
    assert wall_latency(records) == 0.030
    assert estimate(records).seconds == pytest.approx(0.010)


def test_intervals_cover_the_truth_as_often_as_they_say(make_record):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        level = rng.normal(0, 0.02, 3)
        records = [
            make_record(launch, block, math.exp(level[launch] + rng.normal(0, 0.03)))
            for launch in range(3)
            for block in range(5)
        ]
        found = estimate(records, "median")  # without a bias, its long-run value is known
        covered += found.low <= 1.0 <= found.high
    assert 0.92 <= covered / 300 <= 0.98
