from __future__ import annotations

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.predictor.fitting.features import architecture_basis
from atb.predictor.latency_fit import fit
from atb.predictor.tables.table import Feature, table_basis
from atb.predictor.transfer import transfer_model

BASIS = architecture_basis(RunSettings())


@pytest.fixture(scope="module")
def known(world):
    """Two devices; on the second, what moves data costs three times as much."""
    rows = world.rows(150, 0)
    slow = world.coefficients * np.where(np.arange(len(world.coefficients)) >= 6, 3.0, 1.0)
    truths = [BASIS.amounts(rows) @ coefficients for coefficients in (world.coefficients, slow)]
    return [
        fit(world.measure(rows, truth, noise=0.005), np.random.default_rng(0)).model
        for truth in truths
    ]


def mean_error(model, rows, truth) -> float:
    return float(np.mean(np.abs(model.estimate(rows).values / truth - 1)))


def test_a_device_alike_but_slower_is_known_from_a_few(world, known) -> None:
    test = world.rows(300, 9)
    errors = []
    for seed in range(5):
        rows = world.rows(5, 20 + seed)
        noisy = world.measure(rows, 2.5 * world.plain_truth(rows), noise=0.01, seed=seed)
        found = transfer_model(known, BASIS, noisy.observations, coverage=0.9)
        errors.append(mean_error(found.model, test, 2.5 * world.plain_truth(test)))
    assert np.mean(errors) < 0.02


def test_a_device_of_another_balance_is_followed(world, known) -> None:
    other = world.coefficients * np.where(np.arange(len(world.coefficients)) >= 6, 2.0, 0.8)
    test = world.rows(300, 9)
    truth = BASIS.amounts(test) @ other
    errors, alone = [], []
    for seed in range(5):
        rows = world.rows(10, 20 + seed)
        noisy = world.measure(rows, BASIS.amounts(rows) @ other, noise=0.01, seed=seed)
        found = transfer_model(known, BASIS, noisy.observations, coverage=0.9)
        errors.append(mean_error(found.model, test, truth))
        alone.append(mean_error(fit(noisy, np.random.default_rng(0)).model, test, truth))
    assert np.mean(errors) < 0.03
    assert np.mean(errors) < np.mean(alone)


def test_the_interval_comes_from_what_was_left_out(world, known) -> None:
    rows = world.rows(12, 5)
    noisy = world.measure(rows, world.plain_truth(rows), noise=0.02)
    narrow, wide = (
        transfer_model(known, BASIS, noisy.observations, coverage=coverage)
        for coverage in (0.5, 0.9)
    )
    assert narrow.model.interval_factor < wide.model.interval_factor
    assert len(narrow.held_out) == 12
    assert narrow.weights.sum() == pytest.approx(1)
    assert len(narrow.weights) == 3
    assert transfer_model(known, BASIS, noisy.observations.take(np.arange(4)), coverage=0.9)


def test_too_few_and_foreign_terms_are_refused(world, known) -> None:
    rows = world.rows(2, 5)
    noisy = world.measure(rows, world.plain_truth(rows)).observations
    with pytest.raises(InputError, match="2 measurements of the new device"):
        transfer_model(known, BASIS, noisy, coverage=0.9)
    more = world.measure(world.rows(5, 5), world.plain_truth(world.rows(5, 5))).observations
    with pytest.raises(InputError, match="other work terms"):
        transfer_model(known, table_basis([Feature("a")], 1), more, coverage=0.9)
    with pytest.raises(InputError, match="other work terms"):
        transfer_model([], BASIS, more, coverage=0.9)
