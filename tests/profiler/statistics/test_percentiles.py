import numpy as np
import pytest

from atb.profiler.statistics.percentiles import FEWEST_LAUNCHES, fewest_runs, percentile_bound

RUNS = np.linspace(0.010, 0.020, 200)


def launches(count, runs, spread=0.01, *, rng):
    """Runs that differ by 1 %, in launches that differ by `spread`."""
    factors = rng.normal(0, spread, (count, 1))
    return np.exp(factors + rng.normal(0, 0.01, (count, runs)))


@pytest.mark.parametrize(("percentile", "runs"), [(90, 64), (95, 130), (99, 662)])
def test_a_percentile_needs_as_many_runs_as_chance_demands(percentile, runs):
    assert fewest_runs(percentile) == runs
    rng = np.random.default_rng(0)
    enough = [rng.exponential(size=-(-runs // 6)) for _ in range(6)]
    assert percentile_bound(enough, percentile) is not None
    assert percentile_bound([each[:-1] for each in enough], percentile) is None


@pytest.mark.parametrize("percentile", [90, 99])
@pytest.mark.parametrize("spread", [0.0, 0.005, 0.01, 0.02])
def test_the_bound_holds_as_often_as_it_says_however_launches_differ(percentile, spread):
    rng = np.random.default_rng(7)
    truth = np.quantile(launches(400_000, 1, spread, rng=rng), percentile / 100)
    runs = 60 if percentile == 90 else 140
    held = [
        percentile_bound(launches(5, runs, spread, rng=rng).tolist(), percentile) >= truth
        for _ in range(400)
    ]
    # 0.99, less two standard errors of that many
    assert np.mean(held) >= 0.98


def test_more_launches_bring_the_bound_nearer():
    rng = np.random.default_rng(1)
    few, many = (
        np.median([percentile_bound(launches(count, 60, rng=rng), 90) for _ in range(50)])
        for count in (5, 20)
    )
    assert 1.0 < many < few


def test_of_few_launches_nothing_is_told_however_many_runs_they_have():
    assert percentile_bound([RUNS] * FEWEST_LAUNCHES, 90) is not None
    assert percentile_bound([RUNS] * (FEWEST_LAUNCHES - 1), 90) is None
    assert percentile_bound([np.tile(RUNS, 50)], 90) is None
    assert percentile_bound([], 90) is None


def test_a_launch_that_was_cut_short_does_not_count():
    whole = percentile_bound([RUNS] * FEWEST_LAUNCHES, 90)
    assert percentile_bound([*[RUNS] * FEWEST_LAUNCHES, [0.5] * 8], 90) == pytest.approx(whole)
