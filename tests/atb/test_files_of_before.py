"""What was made by the version of before still loads, and says what it said.

The files lie in tests/samples/before; ORIGIN.md there tells how they were made. The commands and
their options are those of before too, since old names of options stay.
"""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BEFORE = Path(__file__).resolve().parents[1] / "samples" / "before"

#: The search of before, without its limit and its method.
SEARCH = (
    "search --space tiny.toml --superplm superplm --proxy mlm --held-out shards --device fake "
    "--db search.db --predictor tiny.json --window 0.01,1.00 --generation-size 8 --generations 3 "
    "--finalists 2 --out search --json"
)
WINNER = "L1-H2-A1-Q2-F8"
SMALL = "L2-H256-A4-Q128-F512"


@pytest.fixture(autouse=True)
def before(tmp_path: Path) -> Path:
    """All files of before, unpacked in the folder where commands run.

    Its `configuration` is the user's folder.
    """
    shutil.copytree(BEFORE, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("*.xz"):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()
    return tmp_path


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_database_of_before_is_listed(atb) -> None:
    listed = document(atb("profile", "--list", "--db", "profile.db", "--json"))
    assert listed["failures"] == []
    found = listed["measurements"]
    lengths = [m["conditions"]["sequence_length"] for m in found]
    assert (lengths.count(64), lengths.count(128)) == (12, 12)
    first = found[0]
    assert (first["architecture"], first["campaign"]) == ("L1-H144-A9-Q288-F896", "profile")
    assert first["latency_seconds"] == pytest.approx(0.0011057120000000004, rel=1e-12)
    assert first["interval_seconds"] == pytest.approx(
        [0.0011056034256162433, 0.0011058205850461673], rel=1e-12
    )
    assert (first["blocks"], first["memory_bytes"], first["flagged"]) == (15, 2979904, False)


def test_a_database_of_a_real_processor_says_what_it_said(atb) -> None:
    found = document(atb("profile", "--list", "--db", "local.db", "--json"))["measurements"]
    assert [(m["architecture"], m["conditions"]["threads"]) for m in found] == [
        ("L12-H384-A12-Q384-F1536", 1),
        ("L4-H312-A12-Q312-F1200", 1),
        ("L12-H384-A12-Q384-F1536", 2),
        ("L4-H312-A12-Q312-F1200", 2),
    ]
    latencies = [
        0.049896690643658655,
        0.011228217349127156,
        0.03473810896584024,
        0.008250796851645639,
    ]
    assert [m["latency_seconds"] for m in found] == pytest.approx(latencies, rel=1e-12)
    assert not any(m["flagged"] for m in found)


@pytest.mark.slow
def test_a_campaign_of_before_is_extended_by_the_same_command(atb) -> None:
    words = [
        "profile",
        "fake",
        "--space",
        "mini",
        "--sequence-length",
        "64,128",
        "--db",
        "profile.db",
        "--json",
    ]
    same = document(atb(*words, "--samples", "12"))["measurements"]
    more = document(atb(*words, "--samples", "13"))["measurements"]
    assert [m["campaign"] for m in more] == ["profile"] * 13 + ["profile-2"] * 13
    old = {m["architecture"]: m["latency_seconds"] for m in same[:12]}
    new = {m["architecture"]: m["latency_seconds"] for m in more[:13]}
    assert old == pytest.approx({name: new[name] for name in old}, rel=1e-3)
    campaigns = document(atb("database", "info", "--db", "profile.db", "--json"))["campaigns"]
    assert [c["blocks"] for c in campaigns] == [195, 195]  # nothing was measured twice


def test_raw_rows_that_were_exported_before_are_imported(atb) -> None:
    document(atb("database", "import", "local.csv", "--db", "copy.db", "--json"))
    listed = [
        document(atb("profile", "--list", "--db", name, "--json"))["measurements"]
        for name in ("local.db", "copy.db")
    ]
    assert listed[0] == listed[1]


@pytest.mark.parametrize(
    ("words", "latency", "interval"),
    [
        (
            "--predictor predictor.json --sequence-length 64",
            0.0017434880000000014,
            [0.0017434879999999988, 0.001743488000000004],
        ),
        (
            "--predictor family.json --sequence-length 96",
            0.002454553600000001,
            [0.002454553599999999, 0.002454553600000003],
        ),
        (
            "--predictor transferred.json --threads 2 --sequence-length 64",
            0.001126176775234124,
            [0.0010357758958861364, 0.0012244677001212558],
        ),
        (
            "--device board --sequence-length 64",
            0.0017434880000000014,
            [0.0017434879999999988, 0.001743488000000004],
        ),
    ],
    ids=["one set of conditions", "several settings", "transferred", "known device"],
)
def test_a_predictor_of_before_predicts_what_it_predicted(
    atb, words: str, latency: float, interval: list[float]
) -> None:
    (found,) = document(atb("predict", SMALL, *words.split(), "--json"))["predictions"]
    assert found["architecture"] == SMALL
    assert found["latency_seconds"] == pytest.approx(latency, rel=1e-9)
    assert found["interval_seconds"] == pytest.approx(interval, rel=1e-9)


def test_a_predictor_of_a_table_predicts_what_it_predicted(atb) -> None:
    done = atb("predict", "--predictor", "table.json", "--table", "table.csv")
    assert done.returncode == 0, done.stderr
    header, first, *_ = done.stdout.splitlines()
    assert header == "width,depth,groups,milliseconds,lower,upper,supported"
    assert [float(cell) for cell in first.split(",")[3:6]] == pytest.approx(
        [0.4462245558619577, 0.35277858490018826, 0.5644230199249125], rel=1e-9
    )


@pytest.mark.slow
def test_predictors_of_before_are_evaluated_and_compared(atb) -> None:
    words = "predictor evaluate --predictor table.json --table table.csv --json"
    evaluated = document(atb(*words.split()))
    assert (evaluated["rows"], evaluated["held_out_rows"], evaluated["worst_row"]) == (60, 60, 9)
    assert evaluated["mape"] == pytest.approx(0.12259260894053352, rel=1e-9)

    words = "predictor compare --table table.csv --target milliseconds --peers ridge --out p.png"
    compared = document(atb(*words.split(), "--sizes", "20", "--splits", "1", "--json"))
    assert {c["predictor"] for c in compared["comparisons"]} == {"atb", "ridge"}


def test_devices_of_before_are_listed(atb) -> None:
    listed = document(atb("devices", "list", "--json"))
    found = {d["runtime"]: d for d in listed["devices"] if d["device"] == "pi4"}
    assert found["onnxruntime"]["version"] == "1.24"
    assert found["onnxruntime"]["note"] == "Cortex-A72"
    (board,) = [d for d in listed["known_devices"] if d["name"] == "board"]
    assert [(c["sequence_length"], c["rows"]) for c in board["conditions"]] == [(64, 12), (128, 12)]


def test_token_shards_of_before_are_taken_for_the_same_text(atb) -> None:
    words = "data prepare text.txt --out shards --sequence-length 24 --vocabulary vocab.txt --json"
    found = document(atb(*words.split()))
    assert found["reused"]
    assert (found["sequences"], found["tokens"]) == (3, 61)


def test_slices_of_a_superplm_of_before_have_the_losses_that_they_had(atb) -> None:
    words = [
        "superplm",
        "evaluate",
        "superplm",
        "--held-out",
        "shards",
        "--arch",
        "L3-H6-A4-Q8-F32",
        "--json",
    ]
    losses = document(atb(*words, "--arch", WINNER))["losses"]
    assert [entry["loss"] for entry in losses] == pytest.approx(
        [3.775268130832248, 3.7475043402777777], rel=1e-5
    )


@pytest.mark.slow
def test_a_run_of_before_goes_on_from_its_checkpoint(atb, before: Path) -> None:
    log = before / "run" / "losses.jsonl"
    known = log.read_text().splitlines()
    files = "--superplm superplm --data shards --out run --space tiny.toml"
    words = f"superplm train {files} --objective mlm --steps 220 --batch 4 --threads 1"
    done = atb(*words.split())
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    assert lines[:-2] == known
    last = json.loads(lines[-1])
    assert (last["step"], last["tokens"]) == (220, 17893)
    assert last["loss"] == pytest.approx(3.7462666034698486, rel=1e-4)
    words = f"superplm evaluate run --held-out shards --arch {WINNER} --json"
    (found,) = document(atb(*words.split()))["losses"]
    assert found["loss"] == pytest.approx(3.771964603000217, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["evolved+", "surrogate-evolution"])
def test_a_search_of_before_that_was_finished_is_not_done_again(
    atb, before: Path, method: str
) -> None:
    known = json.loads((before / "search" / "result.json").read_text())
    scores = (before / "search" / "scores.jsonl").read_bytes()
    found = document(atb(*SEARCH.split(), "--latency", "0.45ms", "--method", method))
    assert {**found, "kind": "search-result"} == {**known, "method": "surrogate-evolution"}
    assert found["winner"]["architecture"] == WINNER
    assert (before / "search" / "scores.jsonl").read_bytes() == scores
    assert (before / "search" / "model" / "model.onnx").is_file()


@pytest.mark.slow
def test_a_search_of_before_that_was_interrupted_goes_on_with_its_scores(atb, before: Path) -> None:
    result = before / "search" / "result.json"
    known = json.loads(result.read_text())
    result.unlink()
    memory = before / "search" / "search.json"
    memory.write_text(memory.read_text().replace("true", "false"))
    scores = (before / "search" / "scores.jsonl").read_bytes()
    found = document(atb(*SEARCH.split(), "--latency", "0.45ms", "--method", "evolved+"))
    assert found["winner"]["architecture"] == known["winner"]["architecture"] == WINNER
    assert found["evaluations"] == known["evaluations"] == 24
    assert (before / "search" / "scores.jsonl").read_bytes() == scores


@pytest.mark.slow
def test_a_method_may_be_given_by_its_name_of_before(atb, before: Path) -> None:
    scores = (before / "search" / "scores.jsonl").read_bytes()
    found = document(atb(*SEARCH.split(), "--latency", "0.36ms", "--method", "evolved"))
    assert found["method"] == "evolution"
    assert found["winner"]["architecture"] == WINNER
    assert (before / "search" / "scores.jsonl").read_bytes().startswith(scores)


@pytest.mark.slow
def test_a_model_of_before_is_exported_with_its_history(atb, before: Path) -> None:
    done = atb("model", "export", "model", "--format", "bert", "--out", "exported", "--json")
    assert document(done)["architecture"] == WINNER
    card = (before / "exported" / "README.md").read_text()
    assert "sha256 3588af26fc71eb81be0ea7eb8fb0955690800a60ce69eda172ca7faff6f20505" in card


def test_a_recipe_of_before_is_translated_into_commands(atb) -> None:
    commands = document(atb("build", "recipe.toml", "--list", "--json"))["commands"]
    stages = ["profile", "predictor", "search", "export", "report"]
    assert [command["stage"] for command in commands] == stages
    search = " ".join(commands[2]["words"])
    assert "--latency 0.45ms --window 0.01,1.00" in search
    assert "--superplm superplm --proxy mlm --held-out shards" in search


def test_a_build_of_before_is_not_done_again(atb, before: Path) -> None:
    done = atb("build", "recipe.toml", "--out", "built", "--json")
    assert document(done)["seconds"] == {
        "profile": 1.8,
        "predictor": 0.4,
        "search": 2.0,
        "export": 0.4,
        "report": 2.8,
    }
    assert "export: done" in done.stderr
    card = (before / "built" / "model" / "README.md").read_text()
    assert card.count("## What it cost") == 1


@pytest.mark.slow
def test_a_report_is_written_of_what_was_made_before(atb, before: Path) -> None:
    words = "report --db search.db --predictor tiny.json --search search --out report.html"
    done = atb(*words.split())
    assert done.returncode == 0, done.stderr
    assert WINNER in (before / "report.html").read_text()
