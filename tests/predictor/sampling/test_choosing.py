from __future__ import annotations

import numpy as np

from atb.devices.settings import RunSettings
from atb.predictor.fitting.features import architecture_basis, bases_of
from atb.predictor.fitting.least_squares import fit_coefficients
from atb.predictor.sampling.choosing import choose_rows

BASIS, _ = bases_of(architecture_basis(RunSettings()))


def test_chosen_rows_are_different_and_the_first_do_not_hang_on_how_many(world) -> None:
    pool, known = world.rows(200, 0), world.rows(5, 1)
    chosen = choose_rows(BASIS, known, pool, 20)
    assert len(set(chosen.tolist())) == 20
    assert choose_rows(BASIS, known, pool, 5).tolist() == chosen[:5].tolist()


def test_what_is_known_already_is_not_chosen_again(world) -> None:
    pool = world.rows(100, 0)
    first = choose_rows(BASIS, pool[:0], pool, 10)
    again = choose_rows(BASIS, pool[first], pool, 10)
    assert not set(first.tolist()) & set(again.tolist())


def test_no_more_than_the_pool_are_chosen(world) -> None:
    pool = world.rows(6, 0)
    assert sorted(choose_rows(BASIS, pool[:0], pool, 50).tolist()) == list(range(6))


def test_chosen_rows_teach_more_than_random_ones(world) -> None:
    pool, test = world.rows(400, 0), world.rows(500, 99)

    def error(rows, seed: int) -> float:
        noisy = world.measure(rows, world.plain_truth(rows), noise=0.02, seed=seed)
        coefficients = fit_coefficients(BASIS.amounts(rows), noisy.seconds, np.ones(len(rows)))
        return float(
            np.mean(np.abs(BASIS.amounts(test) @ coefficients / world.plain_truth(test) - 1))
        )

    chosen = pool[choose_rows(BASIS, pool[:0], pool, 12)]
    ours = np.mean([error(chosen, seed) for seed in range(20)])
    random = np.mean([error(world.rows(12, 100 + seed), seed) for seed in range(20)])
    assert ours < 0.8 * random
