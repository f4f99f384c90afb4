"""The main commands, one after another: what `scripts/lowest` runs at the lowest versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_build import LARGE, prepare
from task_files import write_squad

import atb as package

pytestmark = [pytest.mark.slow, pytest.mark.lowest]
SMALL = "L1-H16-A1-Q16-F32"


def test_a_device_is_measured_predicted_and_shown(atb, tmp_path: Path) -> None:
    assert atb("--version").stdout.split() == ["atb", package.__version__]
    here = json.loads(atb("devices", "list", "--json").stdout)
    assert any(device["device"] == "local" for device in here["devices"])
    measured = atb("profile", "local", "--arch", SMALL, "--arch", LARGE, "--sequence-length", "16",
                   "--db", "here.db", "--json")  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    assert {m["architecture"] for m in json.loads(measured.stdout)["measurements"]} == {
        SMALL,
        LARGE,
    }
    commands = [
        ("profile", "fake", "--samples", "25", "--db", "fake.db"),
        ("predictor", "train", "--db", "fake.db", "--out", "predictor.json"),
        ("predictor", "evaluate", "--db", "fake.db", "--predictor", "predictor.json"),
        ("predict", "L2-H128-A4-Q128-F256", "--predictor", "predictor.json"),
        ("report", "--db", "fake.db", "--predictor", "predictor.json", "--out", "report.html"),
    ]
    for words in commands:
        done = atb(*words)
        assert done.returncode == 0, done.stderr
    assert "<html" in (tmp_path / "report.html").read_text("utf-8")


def test_a_recipe_is_built_from_text_to_an_exported_model(atb, tmp_path: Path) -> None:
    prepare(atb, tmp_path)
    listed = atb("build", "recipe.toml", "--list")
    assert "atb search" in listed.stdout, listed.stderr
    built = atb("build", "recipe.toml", "--out", "built")
    assert built.returncode == 0, built.stderr
    report = (tmp_path / "built" / "report.html").read_text("utf-8")
    assert "<html" in report
    assert list((tmp_path / "built").rglob("model.int8.onnx"))


def test_a_superplm_is_trained_and_a_slice_of_it_answers_questions(atb, tmp_path: Path) -> None:
    prepare(atb, tmp_path)
    write_squad(tmp_path / "squad", rows=12)
    few = ("--epochs", "1", "--sequence-length", "96")
    commands = [
        ("data", "prepare", "text.txt", "--out", "shards"),
        ("superplm", "train", "--superplm", "start", "--data", "shards", "--objective", "mlm",
         "--space", "tiny.toml", "--steps", "2", "--batch", "4", "--out", "trained"),
        ("superplm", "finetune", "trained", "--space", "tiny.toml", "--task", "rte", "--data",
         "rte", "--epochs", "1", "--out", "elastic"),
        ("superplm", "evaluate", "elastic", "--arch", SMALL),
        ("model", "extract", SMALL, "--superplm", "trained", "--out", "slice"),
        ("model", "finetune", "slice", "--task", "squad1", "--data", "squad", *few, "--out", "m"),
        ("model", "evaluate", "m", "--data", "squad", "--sequence-length", "96"),
        ("model", "export", "m", "--format", "bert", "--out", "deployed"),
        ("model", "import", "slice", "--as-superplm", "--out", "again"),
    ]  # fmt: skip
    for words in commands:
        done = atb(*words)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "deployed" / "model.onnx").is_file()
