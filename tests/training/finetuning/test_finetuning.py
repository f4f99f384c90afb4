"""Fine-tuning a small model on invented rows: what is kept, and what a stop changes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from task_files import write_squad

from atb.data.tasks.glue import GLUE
from atb.data.tasks.squad import SQUAD
from atb.data.tasks.tasks import hold_out
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.data.tokenizer.vocabulary import tokenizer_of
from atb.errors import BadFile, InputError, RunError
from atb.models.architecture import Architecture
from atb.models.superplm.modeling_tinybert import save_folder
from atb.models.superplm.superplm import SuperPLM
from atb.training.finetuning import best_weights
from atb.training.finetuning.finetuning import fine_tune, read_report
from atb.training.finetuning.settings import FineTuning, with_changes
from atb.training.finetuning.task_model import TaskModel
from atb.training.finetuning.task_names import TASKS, find_task

pytestmark = pytest.mark.slow

SHAPE = Architecture(1, 32, 2, 32, 32)
SETTINGS = FineTuning(
    epochs=4, sequence_length=24, learning_rate=5e-3, batch_size=8, evaluation_steps=5
)
WARM, COLD = ("warm", "bright", "kind"), ("cold", "dull", "harsh")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small encoder with fresh weights, as a transformers folder."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_folder(
        SuperPLM.from_architecture(SHAPE).extract(SHAPE), tokenizer_of(read_vocabulary()), folder
    )
    return str(folder)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rows that one word decides."""
    folder = tmp_path_factory.mktemp("films")
    rows = [
        f"a {word} film about lamp number {number} .\t{label}"
        for number in range(20)
        for label, words in enumerate((COLD, WARM))
        for word in words
    ]
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    return str(folder)


def test_the_defaults_are_those_of_the_specification() -> None:
    other = with_changes("a task of another package")
    assert [name for name in TASKS if with_changes(name) == other] == []
    assert with_changes("cola") == FineTuning(10, 64, 1e-5, 32, 50)
    assert with_changes("stsb") == FineTuning(10, 128, 3e-5, 32, 10)
    assert with_changes("squad1") == FineTuning(4, 384, 3e-5, 16, 500)
    assert (other.warmup, other.weight_decay) == (0.1, 0.01)
    changed = with_changes("rte", epochs=3.0, dropout=None)
    assert changed == replace(with_changes("rte"), epochs=3.0)


@pytest.mark.parametrize(
    ("name", "found"),
    [("SST-2", "sst2"), ("squad", "squad1"), ("SQuAD2.0", "squad2"), ("sts_b", "stsb")],
)
def test_tasks_are_found_however_they_are_written(name: str, found: str) -> None:
    assert find_task(name).name == found


def test_an_unknown_task_is_told() -> None:
    with pytest.raises(InputError, match="did you mean mnli"):
        find_task("mnl")


def test_a_model_learns_and_its_folder_does_the_task(
    model: str, films: str, tmp_path: Path
) -> None:
    told = []
    out = tmp_path / "out"
    found = fine_tune(
        model, GLUE["sst2"], films, SETTINGS, out, progress=lambda *known: told.append(known)
    )
    assert found.held_out == found.scores["dev"]["accuracy"] == 1.0
    assert told[-1][:2] == (56, 56) == (found.steps, found.steps)  # 108 rows, 14 steps an epoch
    assert "held-out accuracy" in told[-1][2]
    assert not (out / "checkpoints").exists()
    again = TaskModel.load(str(out), GLUE["sst2"])
    assert again.evaluate(GLUE["sst2"].read(films, "dev"), 24) == {"accuracy": 1.0}
    assert read_report(out) == fine_tune(model, GLUE["sst2"], films, SETTINGS, out)
    with pytest.raises(InputError, match="other settings"):
        fine_tune(model, GLUE["sst2"], films, replace(SETTINGS, seed=1), out)


def test_the_best_weights_are_kept_and_not_the_last(model: str, films: str, tmp_path: Path) -> None:
    scores = iter([0.2, 0.9, 0.5, *[0.1] * 20])
    seen = []

    def scored(loaded: TaskModel, *_: object) -> dict[str, float]:
        seen.append({name: t.clone() for name, t in loaded.model.state_dict().items()})
        return {"accuracy": next(scores)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskModel, "evaluate", scored)
        found = fine_tune(model, GLUE["sst2"], films, SETTINGS, tmp_path / "out")
    assert (found.held_out, found.best_step) == (0.9, 10)
    kept = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in seen[1].items())
    assert not all(torch.equal(kept[name], tensor) for name, tensor in seen[-2].items())


def test_a_missing_development_file_is_told_before_anything_is_trained(
    model: str, films: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(films, data)
    (data / "dev.tsv").unlink()
    with pytest.raises(InputError, match="no file for the split dev"):
        fine_tune(model, GLUE["sst2"], str(data), SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Stopped(Exception):
    """Stands in for a kill."""


@pytest.mark.lowest
def test_a_stopped_run_ends_with_the_same_weights(
    model: str, films: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_weights, "_CHECKPOINT_STEPS", 5)
    whole = fine_tune(model, GLUE["sst2"], films, SETTINGS, tmp_path / "whole")

    def stopping_at(last: int):
        def stop(step: int, *_: object) -> None:
            if step == last:
                raise Stopped

        return stop

    out = tmp_path / "stopped"
    for last in (3, 13, 28, 44):
        with pytest.raises(Stopped):
            fine_tune(model, GLUE["sst2"], films, SETTINGS, out, progress=stopping_at(last))
        checkpoints = sorted((out / "checkpoints").glob("checkpoint-*"))
        if checkpoints:  # as if killed while a checkpoint was being written
            half = out / "checkpoints" / "checkpoint-999"
            shutil.copytree(checkpoints[-1], half)
            (half / "whole.json").unlink()
    told: list[int] = []
    found = fine_tune(
        model, GLUE["sst2"], films, SETTINGS, out, progress=lambda step, *_: told.append(step)
    )
    assert told[0] == 41
    assert replace(found, seconds=0) == replace(whole, seconds=0)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_loss_that_is_no_number_ends_the_run(model: str, films: str, tmp_path: Path) -> None:
    wild = replace(SETTINGS, learning_rate=1e30)
    with pytest.raises(RunError, match="The loss became nan at step"):
        fine_tune(model, GLUE["sst2"], films, wild, tmp_path / "out")
    assert not (tmp_path / "out" / "finetuned.json").exists()


def test_only_some_rows_are_learnt_from(model: str, films: str, tmp_path: Path) -> None:
    few = replace(SETTINGS, train_rows=16, epochs=1)
    found = fine_tune(model, GLUE["sst2"], films, few, tmp_path)
    assert found.steps == 2


def test_rows_that_were_left_out_are_counted(model: str, films: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(films, data)
    with (data / "train.tsv").open("a") as file:
        file.write("no label\n")
    few = replace(SETTINGS, train_rows=8, epochs=1)
    assert fine_tune(model, GLUE["sst2"], str(data), few, tmp_path / "out").skipped_rows == 1


def test_a_regression_learns(model: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    animals = ("owl", "fox", "mole")
    lines = [f"{n}\tthe {animals[n % 3]} .\tseen\t{2.5 * (n % 3)}" for n in range(240)]
    for split in ("train", "dev"):
        rows = "\n".join(["index\tsentence1\tsentence2\tscore", *lines])
        (data / f"{split}.tsv").write_text(rows + "\n")
    settings = replace(SETTINGS, epochs=8, dropout=0.0)  # held-out rows enough to tell all three
    found = fine_tune(model, GLUE["stsb"], str(data), settings, tmp_path / "out")
    assert found.scores["dev"]["pearson"] > 0.9


def test_questions_are_learnt(model: str, tmp_path: Path) -> None:
    data = str(write_squad(tmp_path / "data", rows=20))
    settings = replace(SETTINGS, sequence_length=96, epochs=15, dropout=0.0)
    found = fine_tune(model, SQUAD["squad1"], data, settings, tmp_path / "out")
    assert found.scores["dev"]["exact"] > 0.8
    learnt, _ = hold_out(SQUAD["squad1"].read(data, "train"), 0)
    windows = SQUAD["squad1"].encode(learnt, tokenizer_of(read_vocabulary()), 96)
    assert len(windows) > len(learnt)
    assert found.steps == 15 * -(-len(windows) // 8)


def test_weights_are_chosen_without_the_development_split(
    model: str, films: str, tmp_path: Path
) -> None:
    other = tmp_path / "data"
    shutil.copytree(films, other)
    rows = (other / "dev.tsv").read_text().replace("\t1", "\t2").replace("\t0", "\t1")
    (other / "dev.tsv").write_text(rows.replace("\t2", "\t0"))
    task, settings = GLUE["sst2"], replace(SETTINGS, epochs=2)
    one, other_way = (
        fine_tune(model, task, str(data), settings, tmp_path / name)
        for data, name in ((films, "one"), (other, "other"))
    )
    assert one.scores["dev"]["accuracy"] == 1 - other_way.scores["dev"]["accuracy"]
    assert (one.best_step, one.held_out) == (other_way.best_step, other_way.held_out)


def test_what_is_no_such_model_is_told(model: str, films: str, tmp_path: Path) -> None:
    task = GLUE["sst2"]
    with pytest.raises(InputError, match="no folder"):
        TaskModel.load(str(tmp_path / "none"), task)
    with pytest.raises(InputError, match="is a SuperPLM"):
        TaskModel.load("mini", task)
    with pytest.raises(BadFile, match=r"is TinyBertModel and sst2 wants .*ForSequenceClass"):
        TaskModel.load(model, task)
    torn = tmp_path / "torn"
    shutil.copytree(model, torn)
    (torn / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(InputError, match="Cannot load the model"):
        TaskModel.fresh(str(torn), task, dropout=0.1, seed=0)
    with pytest.raises(InputError, match="more than the model's 512 positions"):
        fine_tune(model, task, films, replace(SETTINGS, sequence_length=513), tmp_path / "out")


def test_a_model_of_three_classes_is_refused_for_two(model: str, tmp_path: Path) -> None:
    loaded = TaskModel.fresh(model, GLUE["mnli"], dropout=0.1, seed=0)
    loaded.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [
        "TinyBertForSequenceClassification"
    ]
    assert TaskModel.load(str(tmp_path), GLUE["mnli"]).fingerprint() == loaded.fingerprint()
    with pytest.raises(BadFile, match="2 outputs"):
        TaskModel.load(str(tmp_path), GLUE["sst2"])


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"learning_rate": float("nan")}, {"dropout": 1.0}, {"batch_size": -1}]
)
def test_settings_that_make_no_sense_are_told(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(change))} is"):
        replace(SETTINGS, **change)
