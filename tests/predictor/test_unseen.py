from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from search_world import ExactPredictor

from atb.errors import BadFile, InputError
from atb.predictor.checksum import checksum_of
from atb.predictor.evaluation import (
    evaluate,
    evaluate_rows,
    learnt_from,
    predict_unseen,
    predict_unseen_rows,
)
from atb.predictor.file import load, load_table_predictor, save
from atb.predictor.fitting.basis import Observations
from atb.predictor.latency_fit import fit
from atb.predictor.predictor import WorkPredictor
from atb.predictor.tables.reading import Table
from atb.predictor.tables.table import fit_table
from atb.predictor.training_set import TrainingSet


def measured(world, *ranges: tuple[int, int], campaign: str = "test") -> TrainingSet:
    """Noise of 3 % on parts of the same sequence of architectures, another for each campaign."""
    rows = np.concatenate([world.rows(90, 0)[begin:end] for begin, end in ranges])
    found = world.measure(rows, world.plain_truth(rows), noise=0.03, seed=len(campaign))
    return replace(found, campaigns=(campaign,))


@pytest.fixture(scope="module")
def fitted(world) -> WorkPredictor:
    return fit(measured(world, (0, 40)), np.random.default_rng(0))


def test_an_architecture_that_was_learnt_from_is_not_unseen_in_another_campaign(world, fitted):
    later = measured(world, (30, 60), campaign="another one")
    assert learnt_from(fitted, later).tolist() == [True] * 10 + [False] * 20


def test_what_was_learnt_from_is_predicted_by_fits_without_it(world, fitted):
    later = measured(world, (0, 60), campaign="another one")
    found = predict_unseen(fitted, later)
    assert found.held_out.tolist() == [True] * 40 + [False] * 20
    assert found.kept.all()
    own = fitted.predict(later.rows)
    same = found.estimates.values == own.latency_seconds
    assert not same[:40].any()
    assert same[40:].all()
    # a row's own error does not reach its prediction: that of another fit is as good or bad
    wrong = replace(later, seconds=np.where(np.arange(60) == 3, 3 * later.seconds, later.seconds))
    moved = predict_unseen(fitted, wrong).estimates.values[3] / found.estimates.values[3]
    assert moved == pytest.approx(1, abs=0.02)
    widths = found.estimates.upper / found.estimates.lower
    assert widths == pytest.approx(own.upper_seconds / own.lower_seconds)


def test_too_few_rows_to_hold_out_are_left_out_and_counted(world, fitted):
    few = measured(world, (35, 50), campaign="later")
    judged = evaluate(fitted, few)
    assert (judged.rows, judged.held_out_rows, judged.left_out_rows) == (10, 0, 5)
    assert judged.worst_row >= 5  # a place among all rows that were given
    with pytest.raises(InputError, match="learnt from all of the 5 rows"):
        evaluate(fitted, measured(world, (35, 40)))


def test_an_evaluation_counts_what_was_held_out(world, fitted):
    judged = evaluate(fitted, measured(world, (0, 60)))
    assert (judged.rows, judged.held_out_rows, judged.left_out_rows) == (60, 40, 0)
    assert judged.to_json()["held_out_rows"] == 40


def test_what_does_not_say_what_it_learnt_from_has_seen_nothing(world):
    exact = ExactPredictor(world.conditions, world.plain_truth)
    assert not learnt_from(exact, measured(world, (0, 20))).any()


def test_a_file_says_what_was_learnt_from_and_an_older_one_only_the_campaigns(
    world, fitted, tmp_path: Path
):
    save(fitted, tmp_path / "new.json")
    document = json.loads((tmp_path / "new.json").read_text("utf-8"))
    assert len(document["learnt_from"]) == 40
    assert load(tmp_path / "new.json").summary == fitted.summary

    def rewrite(name: str) -> Path:
        content = {k: v for k, v in document.items() if k not in ("format", "kind", "sha256")}
        text = json.dumps({**document, "sha256": checksum_of(content)})
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    document["learnt_from"] = [3]
    with pytest.raises(BadFile, match="something else than architectures"):
        load(rewrite("wrong.json"))
    del document["learnt_from"]
    old = load(rewrite("old.json"))
    assert learnt_from(old, measured(world, (30, 60))).all()  # of the same campaign
    assert not learnt_from(old, measured(world, (30, 60), campaign="another")).any()


def table_of(count: int, seed: int = 0) -> Table:
    """Products of two columns with noise of 5 %."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 60, (count, 2)).astype(float)
    values = (3 + rows[:, 0] * rows[:, 1]) * np.exp(rng.normal(0, 0.05, count))
    return Table(("a", "b"), "ms", None, Observations(rows, values, np.zeros(count)))


def test_rows_of_a_table_that_were_learnt_from_are_predicted_by_fits_without_them(tmp_path: Path):
    table, others = table_of(60), table_of(20, seed=1)
    save(fit_table(table, np.random.default_rng(0)), tmp_path / "t.json")
    fitted = load_table_predictor(tmp_path / "t.json")
    assert len(fitted.learnt_from) == len(np.unique(table.observed.rows, axis=0))
    judged = evaluate_rows(fitted, table.observed)
    assert (judged.rows, judged.held_out_rows) == (60, 60)
    found = predict_unseen_rows(fitted, table.observed).estimates.values
    assert not (found == fitted.predict(table.observed.rows).values).any()
    assert evaluate_rows(fitted, others.observed).held_out_rows == 0
    few = table.observed.take(np.arange(5))
    with pytest.raises(InputError, match="learnt from all of the 5 rows"):
        evaluate_rows(fitted, few)
    # a file of an older version does not tell its rows
    assert evaluate_rows(replace(fitted, learnt_from=()), few).held_out_rows == 0
