from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atb.predictor.baselines.baselines import BASELINES
from atb.predictor.baselines.comparison import compare, random_splits
from atb.predictor.fitting.basis import Observations
from atb.predictor.sampling.until_error import SamplingStep
from atb.report.pictures.charts import error_curve, learning_curves


def test_every_predictor_has_a_line_and_the_best_is_named(tmp_path: Path) -> None:
    rows = np.arange(60)[:, None]
    observed = Observations(rows, 1.0 + rows[:, 0], np.zeros(60))
    pairs = random_splits(observed, 2, 0.2, np.random.default_rng(0))
    regressors = {name: BASELINES[name] for name in ("ridge", "boosting")}
    picture = learning_curves(compare(observed, regressors, [10, 40], pairs))
    assert "ridge has the smallest" in picture.description
    lines = picture.figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["ridge", "boosting"]
    assert [list(line.get_xdata()) for line in lines] == [[10, 40]] * 2
    picture.save(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_the_error_is_drawn_against_the_number_of_measurements(tmp_path: Path) -> None:
    steps = [
        SamplingStep(12, 0.06, 0.01),
        SamplingStep(16, 0.03, 0.004),
        SamplingStep(20, 0.018, 0.003),
    ]
    picture = error_curve(steps, 0.02)
    line = picture.figure.axes[0].get_lines()[0]
    assert list(line.get_xdata()) == [12, 16, 20]
    assert list(line.get_ydata()) == pytest.approx([6, 3, 1.8])
    assert "from 6.0 % after 12 to 1.8 % after 20" in picture.description
    picture.save(tmp_path / "curve.svg")


def test_a_single_step_is_drawn_too(tmp_path: Path) -> None:
    error_curve([SamplingStep(12, 0.01, 0.002)], 0.02).save(tmp_path / "curve.png")
