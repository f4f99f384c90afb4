import numpy as np
import pytest

from atb.profiler.statistics.estimators import PooledVariance, pool_variances


def models(count, *, launches=4, spread=0.01, differ=0.0, seed=0):
    """Launches of models whose standard deviations differ by a factor of about exp(differ)."""
    rng = np.random.default_rng(seed)
    return [rng.normal(i, spread * np.exp(rng.normal(0, differ)), launches) for i in range(count)]


def test_of_few_models_nothing_is_learned():
    assert pool_variances(models(4)) is None
    assert pool_variances([*models(4), np.array([1.0])]) is None  # one launch has no spread


def test_models_that_differ_alike_lend_much_freedom():
    found = pool_variances(models(200))
    assert found.variance == pytest.approx(1e-4, rel=0.25)
    assert found.freedom > 8


def test_models_that_differ_much_lend_little():
    found = pool_variances(models(200, differ=1.0))
    assert found.freedom < 3


def test_a_variance_moves_towards_the_others_and_its_freedom_grows():
    values = np.array([0.0, 0.0, 0.0, 0.04])
    variance, freedom = PooledVariance(1e-4, 9.0).moderate(values)
    assert freedom == 12
    assert 1e-4 < variance < values.var(ddof=1)


def test_models_that_never_differ_are_taken_as_they_are():
    found = pool_variances([np.zeros(4)] * 10)
    assert 0 < found.variance < 1e-7


@pytest.mark.parametrize("differ", [0.0, 0.5])
def test_moderated_intervals_cover_as_often_as_they_say(differ):
    from scipy.special import stdtrit

    covered = []
    for seed in range(100):
        sample = models(20, differ=differ, seed=seed)
        spread = pool_variances(sample)
        for i, values in enumerate(sample):
            variance, freedom = spread.moderate(values)
            half = stdtrit(freedom, 0.975) * np.sqrt(variance / len(values))
            covered.append(abs(values.mean() - i) <= half)
    assert 0.93 < np.mean(covered) < 0.97
