"""`atb build`: everything by one recipe."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import pytest
import typer
from forked import start_forked
from small_build import RECIPE, prepare

from atb.cli import app
from atb.commands.build.build import check_step
from atb.commands.build.recipe import Step, read_recipe
from atb.errors import BadFile, InputError

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[search", "not a readable recipe"),
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
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


FLAT = """
name = "flat"
layers = [1, 2]
hidden = [18, 22, 4]
heads = [2, 2]
head_size = 16
feed_forward = [32, 64, 32]
"""
#: A change of the recipe, and what the refusal says.
BOUND_TO_FAIL = [
    ('data = "rte"', 'data = "gone"', r"\[finetune\].*gone"),
    ('data = "rte"', 'data = "cut"', r"\[finetune\].*cut"),
    ('task = "rte"', 'task = "rta"', r"\[finetune\].*rta"),
    ("epochs = 1", "epochs = -1", r"\[finetune\].*epochs"),
    ('teacher = "start"', 'teacher = "./gone"', r"\[train\].*\./gone"),
    ('teacher = "start"', 'teacher = "mini"', r"\[train\].*384 wide"),
    ("steps = 4", 'steps = 4\ndata = "gone"', r"\[train\].*gone"),
    ('superplm = "start"', 'superplm = "gone"', r"\[search\].*gone"),
    ('space = "tiny.toml"', 'space = "gone.toml"', r"\[profile\].*gone.toml"),
    ('space = "tiny.toml"', 'space = "mini"', r"\[search\].*does not hold"),
    ('space = "tiny.toml"', 'space = "flat.toml"', r"\[search\].*plain BERT"),
    ('latency = "0.4ms"', 'latency = "0.4"', r"\[search\].*0\.4"),
    ("finalists = 2", 'finalists = 2\nheld-out = "gone"', r"\[search\].*gone"),
    ("finalists = 2", 'finalists = 2\nproxy = "finetune"', r"\[search\].*--task and --data"),
    ("finalists = 2", 'finalists = 2\nelastic = ["start"]', r"\[search\].*task\.json"),
    ("finalists = 2", 'finalists = 2\nalternative = ["int8"]', r"\[search\].*int8\.json"),
    ("sequence-length = 24", "sequence-length = 600", r"\[train\].*sequence-length = 512"),
    ("sequence-length = 24", 'vocabulary = "few.txt"', r"\[train\].*another vocabulary"),
    ('source = "text.txt"', 'source = "gone.txt"', r"\[data\].*gone.txt"),
    (
        '[finetune]\ntask = "rte"\ndata = "rte"\nepochs = 1\nbatch = 8\n',
        "",
        r"\[export\].*\[finetune\]",
    ),
]


def test_a_stage_that_is_bound_to_fail_is_refused_before_anything_runs(atb_here, tmp_path) -> None:
    prepare(atb_here, tmp_path)
    (tmp_path / "flat.toml").write_text(FLAT)
    (tmp_path / "few.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nowl\n")
    shutil.copytree(tmp_path / "rte", tmp_path / "cut")
    (tmp_path / "cut" / "dev.tsv").write_text("index\tsentence1\n0\tThe owl.\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    for old, new, told in BOUND_TO_FAIL:
        assert old in RECIPE
        text = RECIPE.replace(old, new)
        if "[finetune]" not in text:
            text += 'data = "rte"\n'
        (tmp_path / "recipe.toml").write_text(text)
        answer = atb_here("build", "recipe.toml")
        assert answer.returncode == 2, (new, answer.stderr)
        assert re.search(told, answer.stderr), (new, answer.stderr)
        assert "Traceback" not in answer.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == before, new


def test_what_an_earlier_stage_writes_is_known_by_what_it_starts_from(atb_here, tmp_path) -> None:
    prepare(atb_here, tmp_path)
    words = ("superplm", "init", "--arch", "L2-H32-A2-Q32-F64", "--out", "words")
    assert atb_here(*words).returncode == 0  # no projection into a teacher's space
    trained = '[superplm]\nsuperplm = "{}"\nspace = "tiny.toml"\n{}\n[search]\n'
    recipe = RECIPE.replace('superplm = "start"\n', "")
    for start, more, told in (
        ("words", "", r"\[superplm\].*no projection"),
        ("words", 'objective = "mlm"', r"\[train\].*no projection"),
        ("start", 'arch = ["L9-H32-A2-Q32-F64"]\n', r"\[superplm\].*does not fit"),
    ):
        text = recipe.replace("[search]\n", trained.format(start, more))
        if "arch" in more:
            text = text.replace(
                f'superplm = "{start}"\nspace = "tiny.toml"', f'superplm = "{start}"'
            )
        (tmp_path / "recipe.toml").write_text(text)
        answer = atb_here("build", "recipe.toml")
        assert answer.returncode == 2, answer.stderr
        assert re.search(told, answer.stderr), (start, answer.stderr)
        assert not (tmp_path / "atb-runs").exists()


def test_the_search_keeps_to_what_can_be_exported(tmp_path: Path) -> None:
    for text, wanted in ((RECIPE, True), (RECIPE.replace("bert", "tinybert"), True),
                         (RECIPE.replace('format = "bert"', ""), False)):  # fmt: skip
        (tmp_path / "recipe.toml").write_text(text)
        steps = read_recipe(tmp_path / "recipe.toml").steps(Path("out"))
        (search,) = (step.words for step in steps if step.name == "search")
        assert ("--format" in search) == wanted


def test_the_commands_are_listed_as_one_document(atb_here, tmp_path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    shown = atb_here("build", "recipe.toml", "--list", "--json")
    assert shown.returncode == 0
    document = json.loads(shown.stdout)
    assert document["format"] == 1
    stages = [command["stage"] for command in document["commands"]]
    assert stages[:3] == ["data", "profile", "predictor"]
    lines = atb_here("build", "recipe.toml", "--list").stdout.splitlines()
    assert [shlex.join(command["words"]) for command in document["commands"]] == lines
    assert not (tmp_path / "atb-runs").exists()


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


def test_a_recipe_may_have_old_names_of_options() -> None:
    root = typer.main.get_command(app)
    step = Step("search", ("search", "--latency", "6ms", "--screen"))
    assert check_step(step, Path("old.toml"), root)["prune"] is True
    wrong = Step("search", ("search", "--latency", "6ms", "--sieve"))
    with pytest.raises(InputError, match="has no 'sieve'"):
        check_step(wrong, Path("old.toml"), root)
