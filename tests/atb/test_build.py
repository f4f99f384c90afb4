"""`atb build`: everything by one recipe."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from forked import start_forked
from small_build import RECIPE, prepare

from atb.errors import BadFile
from atb.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[search", "not a readable TOML"),
        ("[serch]", "'serch' is no stage"),
        ("search = 3", "'search' is no stage"),
        ("[profile]", r"no \[search\]"),
        ("[target]\nspeed = 3\n[search]", r"\[target\] has no 'speed'"),
        ("[search]\nout = 'x'", "sets itself"),
        ("[search]\n[data]", "source"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(BadFile, match=message):
        read_recipe(tmp_path / "recipe.toml")


def test_stages_are_handed_what_others_wrote(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "recipe.toml")
    words = {step.name: " ".join(step.words) for step in recipe.steps(Path("out"))}
    assert list(words) == [
        "data", "profile", "predictor", "search", "train", "finetune", "export", "report"
    ]  # fmt: skip
    assert words["data"] == "data prepare text.txt --out out/shards --sequence-length 24"
    assert words["profile"].startswith("profile fake --db out/profile.db --campaign build")
    assert "--space tiny.toml" in words["search"]
    assert words["train"].startswith("model train out/search/model --out out/trained --data out/s")
    assert words["finetune"].startswith("model finetune out/trained --out out/finetuned")
    assert words["export"].endswith("out/model --data rte --format bert")


def test_a_changed_option_changes_its_stage_and_all_after_it(tmp_path: Path) -> None:
    def keys(text: str) -> dict[str, str]:
        (tmp_path / "recipe.toml").write_text(text)
        return read_recipe(tmp_path / "recipe.toml").keys(Path("out"))

    before, after = keys(RECIPE), keys(RECIPE.replace("steps = 4", "steps = 5"))
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["train", "finetune", "export", "report"]


@pytest.mark.slow
def test_a_killed_build_ends_with_the_same_model(atb, tmp_path) -> None:
    prepare(atb, tmp_path)
    whole = atb("build", "recipe.toml", "--out", "whole", "--json")
    assert whole.returncode == 0, whole.stderr
    assert json.loads(whole.stdout)["seconds"]["finetune"] > 0
    for stage in ("search", "finetune"):
        kill_in(stage, tmp_path)
    again = atb("build", "recipe.toml", "--out", "killed")
    assert again.returncode == 0, again.stderr
    assert "profile: done" in again.stderr
    for name in ("model.safetensors", "model.onnx"):
        one, other = (tmp_path / out / "model" / name for out in ("whole", "killed"))
        assert one.read_bytes() == other.read_bytes()
    assert "## What it cost" in (tmp_path / "killed" / "model" / "README.md").read_text()
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("epochs = 1", "epochs = 2"))
    changed = atb("build", "recipe.toml", "--out", "killed")
    assert changed.returncode == 0, changed.stderr
    assert "train: done" in changed.stderr
    assert len(list((tmp_path / "killed").glob("finetuned.*"))) == 1


@pytest.mark.slow
def test_wrong_options_are_refused_before_anything_runs(atb, tmp_path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("steps = 4", "step = 4"))
    answer = atb("build", "recipe.toml")
    assert answer.returncode == 2
    assert "[train] has no 'step'" in answer.stderr
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("samples = 12", "samples = 'some'"))
    answer = atb("build", "recipe.toml")
    assert answer.returncode == 2
    assert "--samples" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]
    (tmp_path / "recipe.toml").write_text(RECIPE)
    shown = atb("build", "recipe.toml", "--list")
    assert shown.stdout.count("\natb ") == 7
    failed = atb("build", "recipe.toml")
    assert failed.returncode == 2
    assert "text.txt" in failed.stderr


def kill_in(stage: str, folder: Path) -> None:
    """Build until a stage has begun, and kill it there."""
    words = ("build", "recipe.toml", "--out", "killed")
    nowhere = Path(os.devnull)
    run = start_forked(words, folder, {**os.environ, "PYTHONPATH": str(ROOT)}, (nowhere, nowhere))
    ledger, deadline = folder / "killed" / "build.json", time.monotonic() + 200
    while time.monotonic() < deadline:
        if ledger.is_file() and f'"{stage}"' in ledger.read_text():
            break
        time.sleep(0.05)
    time.sleep(0.5)
    run.kill()
    run.join()
    assert run.exitcode == -signal.SIGKILL
