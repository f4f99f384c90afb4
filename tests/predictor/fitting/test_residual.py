from __future__ import annotations

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.predictor.fitting.features import LANES, QUANTITIES, architecture_basis, columns_of
from atb.predictor.fitting.residual import ResidualCurve, fit_residual

BASIS = architecture_basis(RunSettings())


def test_a_bend_and_ragged_lanes_are_learned(world) -> None:
    def truth(rows):
        c = columns_of(rows)
        return 0.1 * np.tanh((c.hidden - 400) / 100) + 0.05 * (c.feed_forward % LANES != 0)

    rows, test = world.rows(150, 0), world.rows(500, 1)
    noise = np.random.default_rng(0).normal(0, 0.01, 150)
    learned = fit_residual(BASIS, rows, truth(rows) + noise, np.ones(150), np.random.default_rng(0))
    left = np.log(learned.factor(columns_of(test))) - truth(test)
    assert np.std(left) < 0.25 * np.std(truth(test))


def test_noise_alone_is_shrunk_away(world) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    learned = fit_residual(BASIS, world.rows(100, 0), noise, np.ones(100), np.random.default_rng(0))
    factor = learned.factor(columns_of(world.rows(500, 1)))
    assert np.mean(np.abs(factor - 1)) < 0.02


def test_beyond_the_training_range_the_factor_stays(world) -> None:
    rows = world.rows(60, 0)
    bend = 0.1 * np.log(rows[:, 0])
    learned = fit_residual(BASIS, rows, bend, np.ones(60), np.random.default_rng(0))
    deep = np.array([[8, 300, 12, 300, 1000], [40, 300, 12, 300, 1000]], dtype=np.int32)
    layers = next(curve for curve in learned.curves if curve.quantity.name == "layers")
    first, second = layers.factor(columns_of(deep))
    assert first == second


def test_where_nothing_varies_there_is_no_curve(world) -> None:
    rows = np.repeat(world.rows(1, 0), 5, axis=0)
    learned = fit_residual(BASIS, rows, np.arange(5.0), np.ones(5), np.random.default_rng(0))
    assert learned.curves == ()
    assert learned.factor(columns_of(rows)).tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("knots", "factors", "lanes"),
    [
        ([1.0, 1.0], [1.0, 1.0], [1.0] * LANES),
        ([1.0, 2.0], [1.0], [1.0] * LANES),
        ([1.0, 2.0], [1.0, -1.0], [1.0] * LANES),
        ([1.0, 2.0], [1.0, float("inf")], [1.0] * LANES),
        ([1.0, 2.0], [1.0, 1.0], [1.0]),
        ([], [], [1.0] * LANES),
    ],
)
def test_a_malformed_curve_is_refused(knots, factors, lanes) -> None:
    with pytest.raises(ValueError, match="malformed"):
        ResidualCurve(QUANTITIES[0], np.array(knots), np.array(factors), np.array(lanes))
