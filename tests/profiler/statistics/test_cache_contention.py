import math
from dataclasses import replace

import numpy as np
import pytest

from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.profiler.record import ModelFile
from atb.profiler.statistics.estimators import DEFAULT_ESTIMATOR, ESTIMATORS
from atb.profiler.statistics.measurement import Measurement
from atb.profiler.statistics.sentinel import (
    CACHE_SENTINEL,
    LEVEL_READINGS,
    CacheContention,
    cache_level,
    cache_log_slowdowns,
    cache_ratio,
    cache_share,
)


@pytest.fixture
def make_timed(make_record, make_block):
    """A record at a time, whose second sentinel took so long; None where it had no turn."""

    def make(at, cache, *, launch=0, block=0, seconds=0.010, sentinel=0.001):
        record = make_record(launch, block, seconds, sentinel)
        return replace(
            record,
            readings=replace(record.readings, started_at=at),
            cache_sentinel=None if cache is None else make_block((cache,) * 2),
        )

    return make


def test_models_that_fit_a_cores_own_caches_share_nothing():
    assert cache_share(PUBLISHED["bert-tiny"], "fp32") == 0
    assert cache_share(CACHE_SENTINEL, "fp32") == 1
    assert 0 < cache_share(PUBLISHED["bert-base"], "fp32") < 0.3  # it never fits, pressed or not
    middling = Architecture(3, 272, 3, 96, 1504)
    assert 0.4 < cache_share(middling, "fp32") < 0.9


def test_weights_of_a_byte_are_a_quarter_as_large():
    assert cache_share(CACHE_SENTINEL, "int8") == 0
    assert cache_share(ModelFile("mine.onnx", "0" * 12), "fp32") == 0.5


def test_what_slows_both_sentinels_is_no_pressure(make_timed):
    quiet = make_timed(0.0, 0.005)
    slow = make_timed(1.0, 0.005 * 1.1, sentinel=0.0011)
    assert cache_ratio(slow, threads=1) == pytest.approx(cache_ratio(quiet, threads=1))


def test_pressure_is_the_median_of_the_readings_around(make_timed):
    level = cache_ratio(make_timed(0.0, 0.005), threads=1)
    records = [
        make_timed(i / 2, 0.005 * (1.2 if 40 <= i / 2 < 60 else 1.0) if i % 3 == 0 else None)
        for i in range(200)
    ]
    found = cache_log_slowdowns(records, threads=1, level=level)
    assert found[20] == pytest.approx(0)
    assert found[100] == pytest.approx(math.log(1.2))


def test_far_from_all_readings_the_nearest_one_counts(make_timed):
    level = cache_ratio(make_timed(0.0, 0.005), threads=1)
    records = [make_timed(0.0, 0.005), make_timed(100.0, 0.006), make_timed(80.0, None)]
    assert cache_log_slowdowns(records, threads=1, level=level)[2] == pytest.approx(math.log(1.2))


def test_without_readings_or_level_nobody_presses(make_timed):
    assert cache_log_slowdowns([make_timed(0.0, None)], threads=1, level=1.0) == [0.0]
    assert cache_log_slowdowns([make_timed(0.0, 0.005)], threads=1, level=None) == [0.0]
    assert cache_level([None]) is None


def test_the_estimate_takes_the_pressure_out_and_widens_its_interval(make_timed):
    records = [
        make_timed(launch, None, launch=launch, seconds=0.010 * 1.1**0.5) for launch in range(4)
    ]
    cache = CacheContention(0.5, {(launch, 0): math.log(1.1) for launch in range(4)})
    how = {"threads": 1, "reference": None, "confidence": 0.95}
    corrected = DEFAULT_ESTIMATOR.estimate(records, **how, cache=cache)
    assert corrected.seconds == pytest.approx(0.010)
    assert 0.01 < corrected.relative_half_width < 0.05
    plain = ESTIMATORS["median"].estimate(records, **how, cache=cache)
    assert plain.seconds == pytest.approx(0.010 * 1.1**0.5)


def test_heavy_pressure_is_a_reason(make_timed, architecture, conditions):
    records = tuple(make_timed(launch, None, launch=launch) for launch in range(4))
    places = {(launch, 0): math.log(1.2) for launch in range(4)}
    contention = CacheContention(1.0, places)
    pressed = Measurement(architecture, conditions, "c", records, cache=contention)
    assert "+20% by other tenants of the shared cache" in pressed.reasons
    untouched = replace(pressed, cache=CacheContention(0.0, places))
    assert not untouched.flagged


def test_shares_rise_to_the_second_sentinel_and_fall_beyond():
    widths = [Architecture(4, 64 * i, 4, 64 * i, 256 * i) for i in range(1, 16)]
    shares = [cache_share(a, "fp32") for a in widths]
    top = int(np.argmax(shares))
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)


def test_the_level_is_of_the_first_readings_and_stays():
    first = [5.0 + 0.1 * (i % 3) for i in range(LEVEL_READINGS)]
    assert cache_level([None, *first]) == cache_level([*first, *([6.0] * 500)]) == 5.1
