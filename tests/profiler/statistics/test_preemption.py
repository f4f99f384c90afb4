import math
from dataclasses import replace

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.profiler.statistics.readings import (
    block_value,
    quantile_of,
    undisturbed,
    waits_for_itself,
)


def test_a_quiet_block_has_the_median_of_its_wall_times(make_block):
    value = block_value(make_block((0.010, 0.011, 0.030)), threads=1)
    assert value.seconds == 0.011
    assert not value.disturbed


def test_a_preempted_iteration_is_left_out(make_block):
    block = make_block((0.010, 0.050, 0.012), (0.010, 0.011, 0.012), involuntary=(0, 3, 0))
    value = block_value(block, threads=1)
    assert value.seconds == pytest.approx(0.011)
    assert not value.disturbed


def test_stolen_time_without_a_switch_counts_as_preemption(make_block):
    block = make_block((0.010, 0.050, 0.012), (0.010, 0.011, 0.012))
    assert block_value(block, threads=1).seconds == pytest.approx(0.011)


def test_a_block_without_undisturbed_iterations_uses_low_on_cpu_time_and_says_so(make_block):
    wall, cpu = (0.030, 0.040, 0.050, 0.060, 0.070), (0.011, 0.012, 0.013, 0.014, 0.015)
    value = block_value(make_block(wall, cpu, involuntary=(2,) * 5), threads=1)
    assert value.seconds == 0.012
    assert value.disturbed


def test_a_wait_that_the_thread_asked_for_is_part_of_the_latency(make_block):
    block = make_block((0.020, 0.021, 0.022), (0.001, 0.001, 0.001), voluntary=(1, 1, 1))
    value = block_value(block, threads=1)
    assert value.seconds == 0.021
    assert not value.disturbed


def test_cpu_time_is_never_the_basis_when_it_misses_waits_of_its_own(make_block):
    block = make_block(
        (0.020, 0.021, 0.022), (0.001,) * 3, voluntary=(1, 1, 1), involuntary=(1, 1, 1)
    )
    value = block_value(block, threads=1)
    assert value.disturbed
    assert value.seconds >= 0.020


@pytest.mark.parametrize("missing", [0.0, math.nan])
def test_without_cpu_time_wall_time_counts(make_block, missing):
    value = block_value(make_block((0.020, 0.021, 0.022), (missing,) * 3), threads=1)
    assert value.seconds == 0.021
    assert not value.disturbed


def test_with_several_threads_cpu_time_is_no_basis(make_block):
    # the calling thread is on a CPU for a part of the time only: that is no preemption
    quiet = block_value(make_block((0.020, 0.021, 0.022), (0.005,) * 3), threads=2)
    assert (quiet.seconds, quiet.disturbed) == (0.021, False)
    block = make_block((0.020, 0.021, 0.022), (0.005,) * 3, involuntary=(1, 1, 1))
    busy = block_value(block, threads=2)
    assert busy.disturbed
    assert busy.seconds >= 0.020


def test_a_block_of_one_iteration_is_its_value(make_block):
    assert block_value(make_block((0.5,)), threads=1).seconds == 0.5


def test_what_the_scheduler_counts_as_waiting_is_preemption_without_any_switch(make_block):
    from dataclasses import replace

    block = replace(make_block((0.010, 0.0101, 0.030)), wait_seconds=(0.0, 0.0, 0.019))
    assert undisturbed(block, threads=1).tolist() == [True, True, False]
    # a queue of microseconds is no preemption
    block = replace(block, wait_seconds=(1e-6, 0.0, 0.019))
    assert undisturbed(block, threads=1).tolist() == [True, True, False]


def test_with_several_threads_the_scheduler_tells_who_waited(make_block):
    from dataclasses import replace

    block = make_block((0.020, 0.021, 0.050), (0.005,) * 3, involuntary=(1, 0, 0))
    counted = replace(block, wait_seconds=(0.0, 0.0, 0.025))
    assert undisturbed(counted, threads=2).tolist() == [True, True, False]
    # where it is not counted, preemptions of the calling thread are all that is seen
    assert undisturbed(block, threads=2).tolist() == [False, True, True]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 57])
@pytest.mark.parametrize("quantile", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_quantiles_are_those_of_numpy(count, quantile):
    values = np.random.default_rng(count).exponential(size=count)
    assert quantile_of(values, quantile) == pytest.approx(np.quantile(values, quantile), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "states", "itself"),
    [
        (RunSettings(threads=4), [{}], False),
        (RunSettings(threads=5), [{}], True),
        (RunSettings(threads=5), [{"usable_cpus": None}], True),
        (RunSettings(threads=2), [{"usable_cpus": 8}, {"usable_cpus": 1.5}], True),
        (RunSettings(threads=2, affinity=(0,)), [{"usable_cpus": 4}], True),
        (RunSettings(threads=2, affinity=(0, 3)), [], False),
        (RunSettings(scenario="throughput", streams=3, threads=2), [], True),
        (RunSettings(scenario="throughput", streams=2, threads=2), [], False),
    ],
)
def test_threads_wait_for_each_other_where_they_are_more_than_the_cpus(
    conditions, settings, states, itself
):
    assert waits_for_itself(replace(conditions, settings=settings), states) == itself


def test_a_device_that_does_not_say_how_many_cpus_it_has_lets_waits_be_disturbances(conditions):
    platform = (("logical_cpus", "unknown"), ("processor", "some"))
    many = replace(conditions, settings=RunSettings(threads=64), platform=platform)
    assert not waits_for_itself(many, [])


def test_a_wait_that_counts_disturbs_nothing(make_block):
    waited = replace(make_block((0.020, 0.024, 0.040)), wait_seconds=(0.010, 0.012, 0.020))
    assert block_value(waited, threads=2).disturbed
    value = block_value(waited, threads=2, waits_count=True)
    assert (value.seconds, value.disturbed) == (pytest.approx(0.024), False)
