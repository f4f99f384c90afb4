from __future__ import annotations

import numpy as np
import pytest

from atb.errors import InputError
from atb.models.space import SPACES
from atb.predictor.fitting.features import PADDING, WORK_TERMS, architecture_basis, columns_of
from atb.predictor.fitting.least_squares import fit_coefficients
from atb.predictor.latency_fit import fit


def error(predicted, true) -> float:
    return float(np.mean(np.abs(predicted / true - 1)))


@pytest.mark.parametrize("space", ["kd", "mlm", "mini"])
@pytest.mark.parametrize("count", [20, 100])
def test_exact_measurements_of_the_work_terms_are_recovered(world, space: str, count: int) -> None:
    rows = world.rows(count, 0, SPACES[space])
    fitted = fit(world.measure(rows, world.plain_truth(rows)), np.random.default_rng(0))
    test = world.rows(500, 1, SPACES[space])
    predicted = fitted.predict(test).latency_seconds
    assert predicted == pytest.approx(world.plain_truth(test), rel=1e-5)
    assert fitted.model.residual is None


def test_no_price_is_negative_whatever_the_noise(world) -> None:
    for seed in range(5):
        rows = world.rows(12, seed)
        noisy = world.measure(rows, world.plain_truth(rows), noise=0.2, seed=seed)
        assert np.all(fit(noisy, np.random.default_rng(0)).model.coefficients >= 0)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "limit"), [(10, 0.08), (50, 0.02), (100, 0.013)])
def test_the_error_on_a_rough_processor_is_near_the_noise(world, count: int, limit: float) -> None:
    test = world.rows(500, 99)
    errors = []
    for seed in range(2):
        rows = world.rows(count, seed)
        noisy = world.measure(rows, world.rough_truth(rows), noise=0.01, seed=seed)
        fitted = fit(noisy, np.random.default_rng(0))
        errors.append(error(fitted.predict(test).latency_seconds, world.rough_truth(test)))
    assert np.mean(errors) < limit


@pytest.mark.slow
def test_a_few_outliers_do_little_harm(world) -> None:
    test = world.rows(500, 99)
    errors = []
    for seed in range(2):
        rows = world.rows(100, seed)
        truth = world.rough_truth(rows)
        noisy = world.measure(rows, truth, noise=0.01, outliers=0.05, seed=seed)
        fitted = fit(noisy, np.random.default_rng(0))
        errors.append(error(fitted.predict(test).latency_seconds, world.rough_truth(test)))
    assert np.mean(errors) < 0.015


def test_precise_rows_count_more_than_imprecise_ones(world) -> None:
    rows = world.rows(60, 0)
    truth = world.plain_truth(rows)
    wrong = np.arange(60) % 2 == 0
    seconds = np.where(wrong, 1.2 * truth, truth)
    amounts = architecture_basis(world.conditions.settings).amounts(rows)
    trusting = fit_coefficients(amounts, seconds, np.where(wrong, 10.0, 1.0))
    equal = fit_coefficients(amounts, seconds, np.ones(60))
    assert error(amounts @ trusting, truth) < 0.5 * error(amounts @ equal, truth)


@pytest.mark.slow
def test_the_residual_is_used_where_it_helps_and_makes_the_error_smaller(world) -> None:
    rows, test = world.rows(200, 0), world.rows(500, 99)
    noisy = world.measure(rows, world.rough_truth(rows), noise=0.005)
    fitted = fit(noisy, np.random.default_rng(0))
    assert fitted.model.residual is not None
    without = error(fitted.model.work(columns_of(test)), world.rough_truth(test))
    assert error(fitted.predict(test).latency_seconds, world.rough_truth(test)) < 0.6 * without


@pytest.mark.slow
def test_it_extrapolates_better_than_trees(world) -> None:
    from sklearn.ensemble import GradientBoostingRegressor

    every = world.rows(2000, 0)
    small = (every[:, 0] <= 6) & (every[:, 1] <= 384)
    rows, test = every[small][:100], every[~small][:500]
    noisy = world.measure(rows, world.rough_truth(rows), noise=0.01)
    fitted = fit(noisy, np.random.default_rng(0))
    trees = GradientBoostingRegressor(random_state=0).fit(rows, np.log(noisy.seconds))
    prediction = fitted.predict(test)
    own = error(prediction.latency_seconds, world.rough_truth(test))
    assert own < 0.08
    assert own < 0.3 * error(np.exp(trees.predict(test)), world.rough_truth(test))
    assert np.mean(prediction.supported) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("space", ["kd", "mini"])
def test_intervals_cover_what_they_promise(world, space: str) -> None:
    test = world.rows(400, 99, SPACES[space])
    covered = []
    for seed in range(10):
        rows = world.rows(60, seed, SPACES[space])
        noisy = world.measure(rows, world.rough_truth(rows), noise=0.02, seed=seed)
        prediction = fit(noisy, np.random.default_rng(seed)).predict(test)
        seen = world.measure(test, world.rough_truth(test), noise=0.02, seed=1000 + seed).seconds
        inside = (seen >= prediction.lower_seconds) & (seen <= prediction.upper_seconds)
        covered.append(np.mean(inside))
    assert 0.85 < np.mean(covered) < 0.96


def test_more_coverage_gives_wider_intervals(world) -> None:
    rows = world.rows(60, 0)
    noisy = world.measure(rows, world.plain_truth(rows), noise=0.02)
    half = fit(noisy, np.random.default_rng(0), coverage=0.5)
    most = fit(noisy, np.random.default_rng(0), coverage=0.95)
    assert half.model.interval_factor < most.model.interval_factor


def test_the_same_seed_gives_the_same_predictor(world) -> None:
    rows = world.rows(50, 0)
    noisy = world.measure(rows, world.rough_truth(rows), noise=0.02)
    first, second = (fit(noisy, np.random.default_rng(3)).predict(rows) for _ in range(2))
    assert first.latency_seconds.tolist() == second.latency_seconds.tolist()
    assert first.upper_seconds.tolist() == second.upper_seconds.tolist()


def test_the_summary_tells_rows_noise_and_error(world) -> None:
    rows = world.rows(80, 0)
    fitted = fit(world.measure(rows, world.plain_truth(rows), noise=0.02), np.random.default_rng(0))
    assert fitted.summary.rows == 80
    assert fitted.summary.campaigns == ("test",)
    assert 0.01 < fitted.summary.noise < 0.06
    assert 0.005 < fitted.summary.cross_validated_mape < 0.04


def test_too_few_rows_are_refused(world) -> None:
    rows = world.rows(9, 0)
    with pytest.raises(InputError, match="9 architectures"):
        fit(world.measure(rows, world.plain_truth(rows)), np.random.default_rng(0))


@pytest.mark.parametrize(("coverage", "words"), [(0.99, "cannot carry"), (1.5, "impossible")])
def test_a_coverage_out_of_reach_is_refused(world, coverage: float, words: str) -> None:
    rows = world.rows(12, 0)
    exact = world.measure(rows, world.plain_truth(rows))
    with pytest.raises(InputError, match=words):
        fit(exact, np.random.default_rng(0), coverage=coverage)


@pytest.mark.parametrize(("coefficient", "padded"), [(2e-10, True), (0.0, False)])
def test_padding_is_paid_for_where_the_device_makes_one_pay(world, coefficient, padded) -> None:
    rows, test = world.rows(30, 0), world.rows(300, 9)
    padding = np.array([term.name in PADDING for term in WORK_TERMS])
    coefficients = world.coefficients + coefficient * padding
    settings = world.conditions.settings
    truth, unseen = (architecture_basis(settings).amounts(r) @ coefficients for r in (rows, test))
    found = fit(world.measure(rows, truth, noise=0.01), np.random.default_rng(0))
    assert np.any(found.model.coefficients[padding] > 0) == padded
    assert np.mean(np.abs(found.predict(test).latency_seconds / unseen - 1)) < 0.015
