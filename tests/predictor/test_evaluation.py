from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from search_world import ExactPredictor

from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.predictor.evaluation import evaluate

PROMISED = {"rows", "mape", "within_5", "within_10", "spearman", "kendall"}


def test_an_exact_predictor_is_judged_perfect(world) -> None:
    rows = world.rows(50, 0)
    truth = world.measure(rows, world.plain_truth(rows))
    found = evaluate(ExactPredictor(world.conditions, world.plain_truth), truth)
    assert (found.rows, found.mape, found.within_5, found.within_10) == (50, 0, 1, 1)
    assert found.spearman == pytest.approx(1)
    assert found.kendall == pytest.approx(1)
    assert found.interval_coverage == 1


def test_known_errors_give_known_figures(world) -> None:
    rows = world.rows(10, 0)
    truth = world.measure(rows, world.plain_truth(rows))
    factors = np.array([1.0, 1.0, 1.04, 0.96, 1.06, 0.94, 1.09, 0.91, 1.2, 1.5])
    wrong = ExactPredictor(world.conditions, lambda r: factors * world.plain_truth(r))
    found = evaluate(wrong, truth)
    assert found.mape == pytest.approx(np.mean(np.abs(factors - 1)))
    assert found.within_5 == pytest.approx(0.4)
    assert found.within_10 == pytest.approx(0.8)
    assert found.worst == pytest.approx(0.5)
    assert found.worst_row == 9
    assert found.interval_coverage == pytest.approx(0.2)


def test_the_document_holds_the_promised_fields_and_survives_json(world) -> None:
    rows = world.rows(10, 0)
    constant = ExactPredictor(world.conditions, lambda r: np.full(len(r), 0.01))
    found = evaluate(constant, world.measure(rows, world.plain_truth(rows))).to_json()
    assert set(found) >= PROMISED
    assert found["spearman"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_measurements_under_other_conditions_are_refused(world) -> None:
    rows = world.rows(10, 0)
    other = replace(world.conditions, settings=RunSettings(precision="int8"))
    elsewhere = replace(world.measure(rows, world.plain_truth(rows)), conditions=other)
    with pytest.raises(InputError, match="precision: fp32 and int8"):
        evaluate(ExactPredictor(world.conditions, world.plain_truth), elsewhere)
