"""What every predictor and every regressor must do; a new one subclasses the suite."""

from __future__ import annotations

import numpy as np
import pytest

from atb.errors import InputError
from atb.models import SPACES, SearchSpace
from atb.predictor.baselines import Regressor
from atb.predictor.fitting import IntArray, Observations, rows_of
from atb.predictor.predictor import LatencyPredictor
from atb.profiler import Conditions


class PredictorConformance:
    """Subclass it, give `make`, and pytest runs the tests below."""

    #: Architectures of this space are predicted.
    space: SearchSpace = SPACES["mini"]

    def make(self) -> LatencyPredictor:
        """A predictor that is ready."""
        raise NotImplementedError

    def rows(self, count: int = 64) -> IntArray:
        return rows_of(self.space.sample(np.random.default_rng(1), count))

    def test_it_is_a_predictor_with_conditions(self) -> None:
        predictor = self.make()
        assert isinstance(predictor, LatencyPredictor)
        assert isinstance(predictor.conditions, Conditions)

    def test_latencies_are_positive_and_inside_their_intervals(self) -> None:
        rows = self.rows()
        prediction = self.make().predict(rows)
        assert len(prediction) == len(rows)
        assert prediction.latency_seconds.dtype == np.float64
        assert prediction.supported.dtype == np.bool_
        assert np.all(np.isfinite(prediction.upper_seconds))
        assert np.all(prediction.lower_seconds > 0)
        assert np.all(prediction.lower_seconds <= prediction.latency_seconds)
        assert np.all(prediction.latency_seconds <= prediction.upper_seconds)

    def test_a_row_is_predicted_the_same_whatever_stands_beside_it(self) -> None:
        predictor, rows = self.make(), self.rows()
        together = predictor.predict(rows)
        alone = [predictor.predict(rows[i : i + 1]) for i in range(len(rows))]
        for name in ("latency_seconds", "lower_seconds", "upper_seconds", "supported"):
            one_by_one = [getattr(prediction, name)[0] for prediction in alone]
            assert getattr(together, name).tolist() == one_by_one

    def test_architectures_and_rows_are_predicted_alike(self) -> None:
        predictor = self.make()
        architectures = self.space.sample(np.random.default_rng(2), 5)
        by_name = predictor.predict_architectures(architectures).latency_seconds
        by_row = predictor.predict(rows_of(architectures)).latency_seconds
        assert by_name.tolist() == by_row.tolist()

    def test_the_rows_are_left_as_they_were(self) -> None:
        rows = self.rows()
        before = rows.copy()
        self.make().predict(rows)
        assert np.array_equal(rows, before)

    def test_no_rows_give_no_predictions(self) -> None:
        assert len(self.make().predict(self.rows()[:0])) == 0

    @pytest.mark.parametrize("rows", [np.ones((3, 4), np.int32), np.ones((3, 5)), np.ones(5, int)])
    def test_an_array_that_holds_no_architectures_is_refused(self, rows: IntArray) -> None:
        with pytest.raises(InputError, match="not one of architectures"):
            self.make().predict(rows)


class RegressorConformance:
    """Subclass it, give `make`, and pytest runs the tests below."""

    #: Rows to learn from, and the error that must be reached on others of the same kind.
    count, limit = 60, 0.25

    def make(self) -> Regressor:
        """A recipe."""
        raise NotImplementedError

    def observed(self, seed: int, count: int) -> Observations:
        """Two sizes whose product takes time, in seconds as small as real ones."""
        rows = np.random.default_rng(seed).integers(4, 33, (count, 2))
        values = np.asarray(1e-5 * (rows[:, 0] * rows[:, 1] + 40.0), dtype=np.float64)
        return Observations(rows, values, np.zeros(count))

    def test_it_learns_what_others_of_the_kind_take(self) -> None:
        learned, unseen = self.observed(0, self.count), self.observed(1, 200)
        predict = self.make().fit(learned, np.random.default_rng(0))
        found = predict(unseen.rows)
        assert found.shape == (200,)
        assert found.dtype == np.float64
        assert np.mean(np.abs(found / unseen.values - 1)) < self.limit

    def test_the_same_seed_gives_the_same_and_the_rows_stay(self) -> None:
        learned, unseen = self.observed(0, self.count), self.observed(1, 20)
        before = learned.rows.copy()
        found = [
            self.make().fit(learned, np.random.default_rng(3))(unseen.rows).tolist()
            for _ in range(2)
        ]
        assert found[0] == found[1]
        assert np.array_equal(learned.rows, before)
