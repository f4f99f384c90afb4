from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_world import ExactPredictor

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.models.space import SPACES
from atb.predictor.explanation import RESIDUAL_PART, explain, savings
from atb.predictor.fitting.features import WORK_TERMS, architecture_basis, rows_of
from atb.predictor.fitting.intervals import Support
from atb.predictor.latency_fit import fit
from atb.predictor.predictor import require_conditions
from atb.predictor.testing import PredictorConformance
from atb.profiler.record import Conditions


@pytest.fixture(scope="module")
def fitted(world):
    rows = world.rows(120, 0)
    noisy = world.measure(rows, world.rough_truth(rows), noise=0.005)
    return fit(noisy, np.random.default_rng(0))


class TestWorkPredictorConforms(PredictorConformance):
    space = SPACES["kd"]

    @pytest.fixture(autouse=True)
    def _fitted(self, fitted) -> None:
        assert fitted.model.residual is not None
        self.fitted = fitted

    def make(self):
        return self.fitted


class TestWorkPredictorConformsOutsideItsSupport(TestWorkPredictorConforms):
    space = SPACES["mini"]


class TestExactPredictorConforms(PredictorConformance):
    def make(self) -> ExactPredictor:
        device = FakeDevice()
        settings = RunSettings()
        conditions = Conditions.of(device, device.runtimes["fake"], settings)
        return ExactPredictor.of_latency(conditions, lambda a: device.latency(a, settings))


def test_the_exact_predictor_knows_the_truth(world) -> None:
    rows = world.rows(10, 0)
    prediction = ExactPredictor(world.conditions, world.plain_truth).predict(rows)
    assert prediction.latency_seconds.tolist() == world.plain_truth(rows).tolist()
    assert prediction.upper_seconds.tolist() == prediction.lower_seconds.tolist()


def test_blocks_of_a_space_are_predicted_like_single_rows(world, fitted) -> None:
    block = next(SPACES["kd"].blocks(40_000))
    chosen = np.random.default_rng(0).integers(0, len(block), 20)
    together = fitted.predict(block).upper_seconds[chosen]
    assert together.tolist() == fitted.predict(block[chosen]).upper_seconds.tolist()


def test_members_of_the_space_are_supported_and_others_are_not(world, fitted) -> None:
    assert np.mean(fitted.predict(world.rows(1000, 5)).supported) > 0.9
    strangers = [
        replace(PUBLISHED["kd-s1"], layers=24),
        replace(PUBLISHED["kd-s1"], hidden=1024),
        replace(PUBLISHED["kd-s1"], heads=4),
        replace(PUBLISHED["kd-s1"], feed_forward=16),
    ]
    assert not np.any(fitted.predict_architectures(strangers).supported)


def test_intervals_widen_with_the_distance_from_the_support(fitted) -> None:
    layers = [replace(PUBLISHED["kd-s1"], layers=count) for count in (4, 8, 12, 24, 48)]
    prediction = fitted.predict_architectures(layers)
    widths = prediction.upper_seconds / prediction.latency_seconds
    assert widths[0] == pytest.approx(widths[1])
    assert np.all(np.diff(widths[1:]) > 0)


def test_a_dimension_that_never_varied_supports_its_own_value_only() -> None:
    rows = rows_of([PUBLISHED["kd-s1"], PUBLISHED["kd-s2"]])
    support = Support.of(architecture_basis(RunSettings()), rows)
    assert support.low[2] == support.high[2] == 12


def test_other_conditions_are_refused_by_what_differs(world, fitted) -> None:
    require_conditions(fitted, world.conditions)
    other = replace(world.conditions, settings=RunSettings(threads=2))
    with pytest.raises(InputError, match=r"threads: 1 and 2.*atb predictor train"):
        require_conditions(fitted, other)


@pytest.mark.parametrize("name", ["kd-s1", "bert-base"])
def test_the_explained_parts_add_up_to_the_prediction(fitted, name: str) -> None:
    parts = explain(fitted, PUBLISHED[name])
    total = fitted.predict_architectures([PUBLISHED[name]]).latency_seconds[0]
    assert sum(parts.values()) == pytest.approx(total, rel=1e-12)
    assert RESIDUAL_PART in parts
    assert max(parts, key=parts.__getitem__) in {"projections", "feed-forward"}


def test_without_a_residual_only_work_is_explained(fitted) -> None:
    parts = explain(replace(fitted, model=replace(fitted.model, residual=None)), PUBLISHED["kd-s1"])
    assert RESIDUAL_PART not in parts
    assert all(seconds > 0 for seconds in parts.values())


def test_what_is_saved_by_a_smaller_dimension_is_the_difference_of_two_predictions(fitted) -> None:
    architecture = PUBLISHED["kd-s1"]
    found = {s.dimension: s for s in savings(fitted, architecture)}
    assert set(found) == {"layers", "hidden", "heads", "qkv", "feed_forward"}
    saved = [s.saved_seconds for s in savings(fitted, architecture)]
    assert saved == sorted(saved, reverse=True)
    fewer = replace(architecture, layers=found["layers"].after)
    both = fitted.predict_architectures([architecture, fewer]).latency_seconds
    assert found["layers"].saved_seconds == both[0] - both[1]


def test_what_cannot_be_smaller_is_left_out(fitted) -> None:
    assert savings(fitted, Architecture(1, 1, 1, 1, 1)) == []
    assert {s.dimension for s in savings(fitted, Architecture(1, 16, 1, 8, 1))} == {"hidden", "qkv"}


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": np.array([1.0])},
        {"coefficients": np.full(len(WORK_TERMS), -1.0)},
        {"coefficients": np.zeros(len(WORK_TERMS))},
        {"coefficients": np.full(len(WORK_TERMS), np.nan)},
        {"coverage": 1.0},
        {"interval_factor": 0.5},
        {"interval_factor": float("nan")},
        {"timed_interval_factor": 0.5},
    ],
)
def test_an_impossible_predictor_cannot_be_made(fitted, change) -> None:
    with pytest.raises(ValueError, match=r"coefficient|interval"):
        replace(fitted.model, **change)
