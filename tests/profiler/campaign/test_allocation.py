from dataclasses import replace

import numpy as np
import pytest

from atb.profiler.campaign.campaign import next_round
from atb.profiler.statistics.measurement import Measurement


@pytest.fixture
def measured(architecture, conditions, make_record):
    """A measurement with a given spread between launches and between blocks, in shares."""

    def make(seconds, *, launch_spread, block_spread=0.0, launches=4, blocks=3, wider=0, **fields):
        rng = np.random.default_rng(0)
        records = []
        for launch in range(launches):
            level = seconds * np.exp(launch_spread * (-1) ** launch)
            records += [
                make_record(launch, b, float(level * np.exp(rng.normal(0, block_spread))))
                for b in range(blocks)
            ]
        subject = replace(architecture, feed_forward=architecture.feed_forward + wider)
        return Measurement(subject, conditions, "c", tuple(records), sequential=True, **fields)

    return make


def test_who_is_narrow_enough_needs_nothing(measured):
    assert next_round([measured(0.01, launch_spread=0.001)], within=0.01, blocks=3) == []


def test_who_gets_done_for_the_least_time_comes_first(measured):
    slow = measured(0.100, launch_spread=0.02)
    wide = measured(0.010, launch_spread=0.04, wider=1)
    near = measured(0.010, launch_spread=0.02, wider=2)
    found = next_round([slow, wide, near], within=0.01, blocks=3)
    assert [w.subject for w in found] == [near.subject, wide.subject, slow.subject]
    costs = [w.cost_seconds for w in found]
    assert costs == sorted(costs)


def test_more_blocks_are_wanted_where_blocks_differ_and_launches_do_not(measured):
    (noisy,) = next_round(
        [measured(0.01, launch_spread=0.0, block_spread=0.05, launches=12)], within=0.001, blocks=3
    )
    (steady,) = next_round(
        [measured(0.01, launch_spread=0.03, block_spread=0.001, launches=12)],
        within=0.001,
        blocks=3,
    )
    assert steady.blocks == 2 < noisy.blocks


def test_too_few_launches_say_nothing_about_the_spread(measured):
    (found,) = next_round([measured(0.01, launch_spread=0.03, launches=2)], within=0.001, blocks=3)
    assert found.blocks == 3


def test_what_was_timed_off_the_level_is_wanted_again_without_a_precision_asked_for(measured):
    places = {(launch, block): 1.08 for launch in range(4) for block in range(3)}
    shifted = measured(0.01, launch_spread=0.001, slowdowns=places)
    assert [w.subject for w in next_round([shifted], within=None, blocks=3)] == [shifted.subject]
    # three launches at the level are enough: the shifted one does not count
    places = {place: slowdown if place[0] == 0 else 1.0 for place, slowdown in places.items()}
    mended = measured(0.01, launch_spread=0.001, slowdowns=places)
    assert next_round([mended], within=None, blocks=3) == []


def limit(measurement: Measurement, half_widths: float) -> float:
    """A limit above the latency by so many half widths of its interval."""
    estimate = measurement.estimate
    return estimate.seconds * (1 + half_widths * estimate.relative_half_width)


def test_above_a_limit_with_the_whole_interval_nothing_more_is_wanted(measured):
    wide = measured(0.01, launch_spread=0.03)
    assert next_round([wide], within=0.01, blocks=3)
    assert next_round([wide], within=0.01, blocks=3, limit_seconds=limit(wide, -1.5)) == []


def test_the_nearer_to_a_limit_that_the_interval_crosses_the_more_is_wanted(measured):
    known = measured(0.01, launch_spread=0.005)
    enough = 1.1 * known.estimate.relative_half_width
    assert next_round([known], within=enough, blocks=3, limit_seconds=limit(known, 1.5)) == []
    costs = [
        next_round([known], within=enough, blocks=3, limit_seconds=limit(known, share))[
            0
        ].cost_seconds
        for share in (0.9, 0.7)
    ]
    assert costs == sorted(costs)
    assert costs[0] < costs[1]


def test_above_a_limit_that_the_interval_crosses_no_more_is_wanted_than_without(measured):
    known = measured(0.01, launch_spread=0.005)
    enough = 1.1 * known.estimate.relative_half_width
    assert next_round([known], within=enough, blocks=3, limit_seconds=limit(known, -0.5)) == []
