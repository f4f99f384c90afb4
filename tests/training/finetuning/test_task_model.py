"""Encoders of other families on the tasks: token types, positions, and what is saved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from foreign_encoders import write_encoder
from task_files import write_glue, write_squad

from atb.data.tasks.glue import GLUE
from atb.data.tasks.squad import SQUAD
from atb.errors import BadFile, InputError
from atb.training.finetuning.finetuning import fine_tune
from atb.training.finetuning.settings import FineTuning
from atb.training.finetuning.task_model import TaskModel
from atb.training.finetuning.task_names import find_task

pytestmark = pytest.mark.slow
SETTINGS = FineTuning(
    epochs=1, sequence_length=90, learning_rate=1e-3, batch_size=8, evaluation_steps=5
)


@pytest.mark.parametrize("token_types", [False, True])
@pytest.mark.parametrize("family", ["roberta", "distilbert", "electra"])
def test_encoders_with_and_without_token_types_are_fine_tuned(
    tmp_path: Path, family: str, token_types: bool
) -> None:
    # a tokenizer may put out token types that the model has no embedding for
    model = write_encoder(tmp_path / "model", family, token_types=token_types)
    write_squad(tmp_path / "squad1", rows=6)
    write_glue(tmp_path / "rte", "rte", rows=8)
    for name in ("squad1", "rte"):
        out = tmp_path / f"{name}-tuned"
        found = fine_tune(model, find_task(name), str(tmp_path / name), SETTINGS, out)
        again = TaskModel.load(str(out), find_task(name))
        rows = find_task(name).read(str(tmp_path / name), "dev")
        assert again.evaluate(rows, 90) == found.scores["dev"]
        features = again.encode(rows, 90)
        assert ("token_type_ids" in features[0]) == (token_types and family == "electra")


@pytest.mark.parametrize(
    ("family", "positions"),
    [("roberta", 98), ("camembert", 98), ("mpnet", 98), ("distilbert", 100), ("albert", 100)],
)
def test_a_sequence_may_be_as_long_as_the_positions_that_count(
    tmp_path: Path, family: str, positions: int
) -> None:
    model = write_encoder(tmp_path / "model", family, positions=100)
    data = str(write_squad(tmp_path / "squad", rows=4))
    loaded = TaskModel.fresh(model, SQUAD["squad1"], dropout=0.0, seed=0)
    rows = SQUAD["squad1"].read(data, "dev")
    features = loaded.encode(rows, positions)
    assert max(len(feature["input_ids"]) for feature in features) == positions
    loaded.run(features)
    with pytest.raises(InputError, match=f"more than the model's {positions} positions"):
        loaded.encode(rows, positions + 1)
    settings = replace(SETTINGS, sequence_length=positions + 1)
    with pytest.raises(InputError, match=f"more than the model's {positions} positions"):
        fine_tune(model, SQUAD["squad1"], data, settings, tmp_path / "out")


def test_a_saved_tokenizer_cuts_nothing_by_itself(tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "model", "roberta")
    for name, write in (("squad1", write_squad), ("sst2", None)):
        task = find_task(name)
        if write is None:
            write_glue(tmp_path / name, "sst2")
        else:
            write_squad(tmp_path / name, rows=4)
        loaded = TaskModel.fresh(model, task, dropout=0.0, seed=0)
        loaded.encode(task.read(str(tmp_path / name), "dev"), 90)
        loaded.save(tmp_path / "saved")
        saved = json.loads((tmp_path / "saved" / "tokenizer.json").read_text("utf-8"))
        assert saved["truncation"] is saved["padding"] is None


def test_glue_is_read_by_families_that_it_was_not_made_for(tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "model", "roberta")
    data = str(write_glue(tmp_path / "stsb", "stsb", rows=8))
    found = fine_tune(model, GLUE["stsb"], data, SETTINGS, tmp_path / "out")
    assert set(found.scores["dev"]) == {"correlation", "pearson", "spearman"}


def test_a_model_without_its_words_is_not_fine_tuned_on_none(tmp_path: Path) -> None:
    model = write_encoder(tmp_path / "model", "electra", token_types=True)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    path = tmp_path / "model" / "tokenizer.json"
    larger = json.loads(path.read_text())
    vocabulary = larger["model"]["vocab"]
    vocabulary |= {f"further{number}": len(vocabulary) + number for number in range(9)}
    vocabulary["last"] = config["vocab_size"]
    path.write_text(json.dumps(larger))
    with pytest.raises(BadFile, match="rows in its word table and a vocabulary of"):
        TaskModel.fresh(model, find_task("rte"), dropout=0.1, seed=0)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (tmp_path / "model" / name).unlink(missing_ok=True)
    with pytest.raises(BadFile, match="holds no tokenizer"):
        TaskModel.fresh(model, find_task("rte"), dropout=0.1, seed=0)
