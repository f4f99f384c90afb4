from __future__ import annotations

import numpy as np
import pytest

from atb.errors import InputError
from atb.predictor.baselines.baselines import BASELINES
from atb.predictor.baselines.comparison import compare, random_splits
from atb.predictor.fitting.basis import Observations


class Constant:
    """Predicts the mean of what it has seen, and remembers how much that was."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def fit(self, observed, rng):
        self.seen.append(observed.rows[:, 0])
        return lambda rows: np.full(len(rows), observed.values.mean())


def observed(count: int = 50) -> Observations:
    rows = np.arange(count)[:, None]
    return Observations(rows, 1.0 + rows[:, 0], np.zeros(count))


def test_nobody_learns_from_what_it_is_judged_by() -> None:
    rows = observed()
    pairs = random_splits(rows, 4, 0.2, np.random.default_rng(0))
    constant = Constant()
    found = compare(rows, {"constant": constant}, [10, 40], pairs)
    assert [(f.split, f.rows) for f in found] == [(s, n) for s in range(4) for n in (10, 40)]
    for seen, comparison in zip(constant.seen, found, strict=True):
        assert len(seen) == comparison.rows
        assert comparison.evaluation.rows == 10
        assert not set(seen) & set(pairs[comparison.split][1])
    small, large = constant.seen[:2]
    assert set(small) < set(large)


def test_equal_rows_stay_on_one_side() -> None:
    rows = np.repeat(np.arange(20), 3)[:, None]
    repeated = Observations(rows, 1.0 + rows[:, 0], np.zeros(60))
    for train, test in random_splits(repeated, 5, 0.25, np.random.default_rng(0)):
        assert len(train) + len(test) == 60
        assert len(test) == 15
        assert not set(rows[train, 0]) & set(rows[test, 0])


def test_a_line_is_learned_by_ridge_and_not_by_a_constant() -> None:
    rows = observed()
    pairs = random_splits(rows, 2, 0.2, np.random.default_rng(0))
    both = {"ridge": BASELINES["ridge"], "constant": Constant()}
    found = {f.name: f for f in compare(rows, both, [40], pairs)}
    assert found["ridge"].evaluation.mape < 0.05 < found["constant"].evaluation.mape
    assert found["ridge"].fit_seconds > 0
    assert found["ridge"].query_seconds > 0


def test_more_rows_than_there_are_is_refused() -> None:
    rows = observed()
    pairs = random_splits(rows, 1, 0.2, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"41 rows .* 40 are left"):
        compare(rows, {"constant": Constant()}, [41], pairs)
