"""The stop rule of comparisons: interim_analyses, intervals, verdicts, and how often they err."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from atb.profiler.comparison.sequential import (
    CONFIDENCE,
    FASTER,
    FIRST_ANALYSIS,
    NO_DIFFERENCE,
    SLOWER,
    UNDECIDED,
    Interval,
    analysis_of,
    confidence_at_analysis,
    interim_analyses,
    interval_at_analysis,
    verdict_of,
)


def test_looks_grow_by_a_third_and_never_end() -> None:
    counts = list(itertools.islice(interim_analyses(), 8))
    assert counts[0] == FIRST_ANALYSIS
    assert all(4 / 3 <= later / count < 1.6 for count, later in itertools.pairwise(counts))


def test_a_count_between_two_looks_is_judged_as_the_later_one() -> None:
    first, second, third = itertools.islice(interim_analyses(), 3)
    assert [analysis_of(n) for n in (2, first, first + 1, second, second + 1, third)] == [
        1, 1, 2, 2, 3, 3,
    ]  # fmt: skip


def test_the_errors_of_all_looks_together_stay_below_the_whole() -> None:
    spent = sum(1 - confidence_at_analysis(look) for look in range(1, 10_000))
    assert 0.99 * (1 - CONFIDENCE) < spent <= 1 - CONFIDENCE


def test_the_interval_is_students() -> None:
    found = interval_at_analysis([1.0, 2.0, 3.0, 4.0], look=1, confidence=0.90)
    # error 0.10 / 2 at the first look: Student's 97.5 % quantile of three degrees is 3.1824
    half = 3.182446 * np.std([1, 2, 3, 4], ddof=1) / 2
    assert found.centre == 2.5
    assert found.high - found.centre == pytest.approx(half, rel=1e-6)
    assert found.centre - found.low == pytest.approx(half, rel=1e-6)


def test_one_value_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        interval_at_analysis([0.1], look=1)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.005, 0.005, NO_DIFFERENCE),
        (0.001, 0.009, NO_DIFFERENCE),  # a difference, but one that counts as none
        (0.001, 0.011, SLOWER),
        (-0.011, -0.001, FASTER),
        (-0.001, 0.011, UNDECIDED),
        (-0.02, 0.02, UNDECIDED),
    ],
)
def test_the_verdict_follows_from_the_interval(low: float, high: float, verdict: str) -> None:
    assert verdict_of(Interval((low + high) / 2, low, high), within=0.01) == verdict


def final_verdict(values: np.ndarray, within: float) -> str:
    for count in itertools.takewhile(lambda n: n <= len(values), interim_analyses()):
        verdict = verdict_of(interval_at_analysis(values[:count], analysis_of(count)), within)
        if verdict != UNDECIDED:
            return verdict
    return UNDECIDED


def two_modes(rng: np.random.Generator, size: int) -> np.ndarray:
    """The difference of two placements that are each of two kinds."""
    return rng.integers(2, size=size) - rng.integers(2, size=size) + rng.normal(0, 0.1, size)


NOISES = {
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy tails": lambda rng, size: rng.standard_t(3, size=size),
    "two modes": two_modes,
}


@pytest.mark.parametrize("noise", list(NOISES))
@pytest.mark.parametrize("spread", [0.002, 0.01, 0.03])
def test_equal_things_are_rarely_called_different(noise: str, spread: float) -> None:
    rng = np.random.default_rng(1)
    runs = 600
    verdicts = [final_verdict(spread * NOISES[noise](rng, 48), 0.01) for _ in range(runs)]
    alarms = sum(verdict in (SLOWER, FASTER) for verdict in verdicts)
    assert alarms <= 0.02 * runs  # wide: 6 are allowed on average


def test_two_percent_are_found_where_launches_spread_by_one() -> None:
    rng = np.random.default_rng(2)
    verdicts = [final_verdict(math.log(1.02) + rng.normal(0, 0.01, 48), 0.01) for _ in range(200)]
    assert verdicts.count(SLOWER) >= 190


def test_equal_things_are_called_equal_where_launches_spread_little() -> None:
    rng = np.random.default_rng(3)
    verdicts = [final_verdict(rng.normal(0, 0.005, 48), 0.01) for _ in range(200)]
    assert verdicts.count(NO_DIFFERENCE) >= 190
