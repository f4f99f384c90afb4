import numpy as np
import pytest

from atb.profiler.statistics.sentinel import (
    BAND,
    LEVEL_BLOCKS,
    DriftWatch,
    is_shifted,
    running_median,
    sentinel_level,
    slowdowns,
)


def noisy(count, *, level=0.001, seed=0):
    """Readings ten a second with noise of one per cent and bursts of a third in every twentieth."""
    rng = np.random.default_rng(seed)
    bursts = np.where(rng.random(count) < 0.05, 1.3, 1.0)
    return np.arange(count) / 10, level * np.exp(rng.normal(0, 0.01, count)) * bursts


def test_a_running_median_has_the_median_of_its_window():
    found = running_median([0, 1, 2, 3, 4], [5, 1, 9, 2, 7], window=2)
    assert found.tolist() == [3, 5, 2, 7, 4.5]


def test_a_watch_tells_a_step_within_the_window_and_its_end():
    times, values = noisy(1000)
    watch = DriftWatch(0.001)
    told = [
        watch.add(at, value * (1.03 if 40 <= at < 60 else 1.0))
        for at, value in zip(times, values, strict=True)
    ]
    moments = times[told]
    assert 40 < moments[0] < 43
    assert 60 <= moments[-1] < 63
    assert np.diff(moments).max() < 0.15  # one alarm, not many


def test_a_watch_without_a_level_takes_it_from_its_first_readings():
    times, values = noisy(1000)
    watch = DriftWatch(None)
    told = [
        watch.add(at, value * (1.1 if at >= 50 else 1.0))
        for at, value in zip(times, values, strict=True)
    ]
    assert not any(told[:490])
    assert all(told[550:])


def test_a_watch_says_nothing_before_it_has_seen_enough():
    watch = DriftWatch(0.001)
    assert [watch.add(float(i), 0.002) for i in range(6)] == [False] * 4 + [True] * 2


def test_the_level_stays_while_more_is_measured():
    first = [0.001 * (1 + 0.001 * (i % 7)) for i in range(LEVEL_BLOCKS)]
    level = sentinel_level(first)
    assert level == pytest.approx(0.001, rel=0.003)
    assert sentinel_level([*first, *([0.00099] * LEVEL_BLOCKS)]) == level


def test_a_database_that_began_in_a_slow_state_finds_its_level_later():
    first, later = [0.00108] * LEVEL_BLOCKS, [0.001] * LEVEL_BLOCKS
    assert sentinel_level(first + later) == pytest.approx(0.001)
    # a few blocks are no level
    assert sentinel_level(first + later[:50]) == pytest.approx(0.00108)


def test_slowdowns_are_the_running_median_over_the_level(make_timed):
    records = [make_timed(i / 10, 0.001 * (1.05 if 100 <= i < 200 else 1.0)) for i in range(300)]
    found = slowdowns(records[::-1], threads=1, level=0.001)[::-1]
    assert found[50] == pytest.approx(1.0)
    assert found[150] == pytest.approx(1.05)
    assert not is_shifted(found[50])
    assert is_shifted(found[150])


def test_without_a_level_nothing_is_slower(make_timed):
    assert slowdowns([make_timed(0.0, 0.002)], threads=1, level=None) == [1.0]


def test_the_band_counts_both_ways():
    assert not is_shifted(1 + 0.9 * BAND)
    assert is_shifted(1 + 1.1 * BAND)
    assert is_shifted(1 / (1 + 1.1 * BAND))


@pytest.fixture
def make_timed(make_record):
    from dataclasses import replace

    def make(at, sentinel):
        record = make_record(0, 0, 0.01, sentinel)
        return replace(record, readings=replace(record.readings, started_at=at))

    return make
