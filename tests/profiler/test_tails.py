import numpy as np
import pytest

from atb.profiler.tails import fewest_runs, tail_seconds


@pytest.mark.parametrize(("percentile", "runs"), [(90, 64), (95, 130), (99, 662)])
def test_a_percentile_needs_as_many_runs_as_chance_demands(percentile, runs):
    assert fewest_runs(percentile) == runs
    assert tail_seconds(list(range(runs - 1)), percentile) is None
    assert tail_seconds(list(range(runs)), percentile) == runs - 2  # one may be dropped


def test_the_bound_holds_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = -np.log(0.1)  # 90th percentile of an exponential
    held = [tail_seconds(rng.exponential(size=200).tolist(), 90) >= truth for _ in range(500)]
    assert np.mean(held) > 0.97


def test_of_no_runs_nothing_is_told():
    assert tail_seconds([], 90) is None
