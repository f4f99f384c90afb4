from __future__ import annotations

import numpy as np
import pytest

from atb.predictor.fitting.drift import Drift, fit_drift


def wandering(count: int, *, step: float, noise: float, seed: int = 0):
    """A device that is slower by `step` in its third quarter, and noise."""
    rng = np.random.default_rng(seed)
    order = np.arange(count, dtype=float)
    truth = np.where((order >= count / 2) & (order < 3 * count / 4), step, 0.0)
    return order, truth, truth + rng.normal(0, noise, count)


def test_a_slow_stretch_is_seen_and_its_size_is_told() -> None:
    order, truth, values = wandering(400, step=0.2, noise=0.02)
    drift = fit_drift(order, values, np.ones(400))
    assert drift is not None
    left = np.log(drift.at(order)) - truth
    assert np.mean(np.abs(left)) < 0.02
    assert np.median(drift.factors) == pytest.approx(1, abs=0.01)


def test_rows_that_were_not_seen_are_told_from_their_neighbours() -> None:
    order, truth, values = wandering(1000, step=0.2, noise=0.02)
    held_out = (order // 20) % 5 == 2
    drift = fit_drift(order[~held_out], values[~held_out], np.ones((~held_out).sum()))
    assert drift is not None
    assert np.mean(np.abs(np.log(drift.at(order[held_out])) - truth[held_out])) < 0.03


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_no_drift(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.03, 500)
    assert fit_drift(np.arange(500.0), values, np.ones(500)) is None


@pytest.mark.parametrize("seed", range(3))
def test_outliers_alone_are_no_drift(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.02, 500)
    values[rng.random(500) < 0.05] += 0.4
    assert fit_drift(np.arange(500.0), values, np.ones(500)) is None


def test_single_outliers_do_not_bend_the_course() -> None:
    order, truth, values = wandering(400, step=0.2, noise=0.02)
    values[::40] += 0.5
    drift = fit_drift(order, values, np.ones(400))
    assert drift is not None
    assert np.mean(np.abs(np.log(drift.at(order)) - truth)) < 0.025


def test_the_order_of_the_arrays_does_not_matter_and_equal_times_are_borne() -> None:
    order, _, values = wandering(300, step=0.2, noise=0.02)
    order = order // 2
    shuffled = np.random.default_rng(1).permutation(300)
    # equal times keep their order, so that only the rows of unequal ones are shuffled
    shuffled = shuffled[np.argsort(shuffled % 2, kind="stable")]
    first = fit_drift(order, values, np.ones(300))
    second = fit_drift(order[shuffled], values[shuffled], np.ones(300))
    assert first is not None
    assert second is not None
    assert second.at(order) == pytest.approx(first.at(order), rel=0.02)


@pytest.mark.parametrize("order", [np.zeros(100), np.arange(10.0)])
def test_too_little_says_nothing(order) -> None:
    values = np.linspace(0, 1, len(order))
    assert fit_drift(order, values, np.ones(len(order))) is None


def test_beyond_the_ends_the_device_returns_to_its_level() -> None:
    drift = Drift(np.array([0.0, 10.0]), np.array([1.1, 1.2]), time_scale=5.0)
    at = drift.at(np.array([-1000.0, 0.0, 5.0, 10.0, 1000.0]))
    assert at == pytest.approx([1, 1.1, np.sqrt(1.1 * 1.2), 1.2, 1])


@pytest.mark.parametrize(
    ("order", "factors", "time_scale"),
    [
        ([], [], 1.0),
        ([0.0, 0.0], [1.0, 1.0], 1.0),
        ([0.0, 1.0], [1.0], 1.0),
        ([0.0, 1.0], [1.0, -1.0], 1.0),
        ([0.0], [1.0], 0.0),
    ],
)
def test_a_malformed_drift_is_refused(order, factors, time_scale: float) -> None:
    with pytest.raises(ValueError, match="drift is malformed"):
        Drift(np.array(order), np.array(factors), time_scale)
