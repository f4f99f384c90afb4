"""Bad input: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

PROFILE = ("profile", "fake", "--db", "runs/profile.db", "--samples", "2")
SEARCH = ("search", "--device", "fake", "--predictor", "predictor.json", "--out", "runs/search")

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown device": (("profile", "toaster", "--samples", "2"), "toaster"),
    "a device without a name": (("profile", "", "--samples", "2"), "no device ''"),
    "two devices": ((*PROFILE, "--device", "local"), "fake and --device local"),
    "unknown runtime": ((*PROFILE, "--runtime", "steam"), "steam"),
    "unknown space": ((*PROFILE, "--space", "maxi"), "maxi"),
    "unknown precision": ((*PROFILE, "--precision", "fp7"), "fp32 or int8"),
    "malformed architecture": (("profile", "fake", "--arch", "L4-H312"), "L4-H312"),
    "unknown name": (("profile", "fake", "--arch", "tinybert4"), "tinybert-4"),
    "heads that do not divide": (("profile", "fake", "--arch", "L4-H312-A12-Q313-F99"), "divide"),
    "zero layers": (("profile", "fake", "--arch", "L0-H312-A12-Q312-F1200"), "layers"),
    "negative samples": (("profile", "fake", "--samples", "-3"), "samples"),
    "no threads": ((*PROFILE, "--threads", "0"), "threads"),
    "negative batch": ((*PROFILE, "--batch", "-1"), "batch"),
    "unitless budget": ((*PROFILE, "--budget", "10"), "unit"),
    "a budget of centuries": ((*PROFILE, "--budget", "1e9h"), "longer than a year"),
    "negative budget": ((*PROFILE, "--budget", "-10min"), "10min"),
    "share without percent sign": ((*PROFILE, "--within", "0.01"), "percent"),
    "bad affinity": ((*PROFILE, "--affinity", "a,b"), "affinity"),
    "unknown scenario": ((*PROFILE, "--scenario", "warm"), "hot-loop"),
    "a rate without an interval": ((*PROFILE, "--scenario", "fixed-rate"), "--interval"),
    "an interval without a rate": ((*PROFILE, "--interval", "10ms"), "leave it out"),
    "streams without throughput": ((*PROFILE, "--streams", "2"), "throughput"),
    "a duration of a hot loop": ((*PROFILE, "--duration", "1min"), "sustained"),
    "threads that are no list": ((*PROFILE, "--threads", "1,two"), "--threads"),
    "missing model": (("profile", "fake", "--model", "none.onnx"), "none.onnx"),
    "precision of a model": (
        ("profile", "fake", "--model", "x.onnx", "--precision", "int8"),
        "--precision",
    ),
    "samples beside architectures": (
        ("profile", "fake", "--arch", "s1", "--samples", "2"),
        "choose one",
    ),
    "a time without a unit": (("quickstart", "--device", "fake", "--improve", "3"), "unit"),
    "missing pairs": (("superplm", "evaluate", "mini", "--pairs", "none.csv"), "none.csv"),
    "unknown option": (("profile", "fake", "--sampels", "2"), "sampels"),
    "unknown command": (("profil",), "profil"),
    "missing database": (("predictor", "train", "--db", "none.db"), "none.db"),
    "missing table": (
        ("predictor", "train", "--table", "none.csv", "--target", "ms"),
        "none.csv",
    ),
    "a table without a target": (("predictor", "train", "--table", "none.csv"), "--target"),
    "a target without a table": (("predictor", "train", "--target", "ms"), "--target"),
    "a table beside a database": (
        ("predictor", "train", "--table", "none.csv", "--target", "ms", "--db", "p.db"),
        "--db",
    ),
    "a table beside conditions": (
        ("predictor", "compare", "--table", "none.csv", "--target", "ms", "--threads", "2"),
        "--threads",
    ),
    "a picture of no picture's kind": (
        ("predictor", "compare", "--db", "none.db", "--out", "curve.txt"),
        ".png",
    ),
    "transfer from nothing": (
        ("predictor", "transfer", "--predictor", "none.json", "--device", "fake"),
        "none.json",
    ),
    "transfer onto its own source": (
        ("predictor", "transfer", "--predictor", "a.json", "--out", "a.json"),
        "choose another",
    ),
    "transfer by too few": (
        ("predictor", "transfer", "--predictor", "a.json", "--samples", "2"),
        "--samples",
    ),
    "an error of no share": ((*PROFILE, "--until-error", "2"), "percent"),
    "an error of a list": ((*PROFILE, "--until-error", "2%", "--threads", "1,2"), "lists"),
    "an error of one architecture": (
        ("profile", "fake", "--arch", "s1", "--until-error", "2%"),
        "--arch",
    ),
    "an error of too few": ((*PROFILE, "--until-error", "2%"), "cannot carry"),
    "a picture of nothing explained": (
        ("predict", "s1", "--picture", "work.png"),
        "--explain",
    ),
    "nothing to predict": (("predict",), "nothing to predict"),
    "architectures beside a table": (("predict", "s1", "--table", "x.csv"), "--table"),
    "a table beside an explanation": (("predict", "--table", "x.csv", "--explain"), "--explain"),
    "missing predictor": (("predict", "bert-base", "--predictor", "none.json"), "none.json"),
    "unitless limit": ((*SEARCH, "--latency", "10"), "unit"),
    "negative limit": ((*SEARCH, "--latency", "-10ms"), "10ms"),
    "two limits": ((*SEARCH, "--latency", "10ms", "--speedup", "2"), "--speedup"),
    "no limit": (SEARCH, "--latency"),
    "unknown method": ((*SEARCH, "--latency", "10ms", "--method", "guess"), "guess"),
    "search budget without a unit": ((*SEARCH, "--latency", "10ms", "--budget", "5"), "unit"),
    "search budget of nothing": ((*SEARCH, "--latency", "10ms", "--budget", "0s"), "above zero"),
    "bad window": ((*SEARCH, "--latency", "10ms", "--window", "1.1"), "window"),
    "unknown proxy": (
        (*SEARCH, "--latency", "10ms", "--proxy", "guess"),
        "atb: Invalid value for '--proxy': 'guess' is not one of",
    ),
    "missing corpus": (("data", "prepare", "none.txt", "--out", "runs/shards"), "none.txt"),
    "missing SuperPLM": (
        ("superplm", "train", "--superplm", "none", "--data", "x", "--out", "y"),
        "",
    ),
    "larger than the SuperPLM": (
        ("model", "extract", "bert-base", "--superplm", "mini", "--out", "runs/model"),
        "L6-H384-A12-Q384-F1536",
    ),
}


def listing(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", list(CASES))
def test_bad_input_is_one_sentence_and_writes_nothing(name, atb_here, tmp_path) -> None:
    words, told = CASES[name]
    done = atb_here(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("atb: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert listing(tmp_path) == set()


#: `folder` is a folder, `file` and `empty` are files; neither is what is asked for.
MISPLACED: dict[str, tuple[tuple[str, ...], str]] = {
    "a folder for a database": ((*PROFILE[:2], "--db", "folder"), "folder"),
    "a text for a database": (("database", "info", "--db", "file"), "file"),
    "a database below a file": ((*PROFILE[:2], "--db", "file/p.db"), "file"),
    "a folder for a model": (("profile", "fake", "--model", "folder"), "folder"),
    "a folder for a space": (("space", "show", "folder"), "folder"),
    "an empty space": (("space", "show", "empty"), "empty"),
    "a folder for a predictor": (("predict", "s4", "--predictor", "folder"), "folder"),
    "an empty predictor": (("predict", "s4", "--predictor", "empty"), "empty"),
    "a folder for a table": (
        ("predictor", "train", "--table", "folder", "--target", "a"),
        "folder",
    ),
    "an empty table": (("predictor", "train", "--table", "empty", "--target", "a"), "empty"),
    "a folder for a picture": (("predictor", "compare", "--out", "folder"), "folder"),
    "a file without a kind": (("database", "import", "file"), ".csv"),
    "a merge of nothing": (("database", "merge", "none.db", "--db", "new.db"), "none.db"),
    "a folder for a recipe": (("build", "folder"), "folder"),
    "an empty recipe": (("build", "empty"), "empty"),
    "a folder without a search": (("report", "--search", "folder"), "folder"),
    "a folder for a page": (("report", "--predictor", "file", "--out", "folder"), ""),
    "a folder for a SuperPLM": (("superplm", "evaluate", "folder"), "folder"),
    "a file for a model's folder": (
        ("model", "extract", "L1-H128-A2-Q64-F128", "--out", "file"),
        "file",
    ),
    "a folder that holds no encoder": (("model", "import", "folder", "--out", "o"), "folder"),
    "a folder without shards": (
        ("superplm", "train", "--superplm", "mini", "--data", "folder", "--out", "o"),
        "folder",
    ),
    "a file for shards": (("data", "prepare", "file", "--out", "empty"), "empty"),
}


@pytest.mark.parametrize("name", list(MISPLACED))
def test_what_is_not_what_was_asked_for_is_refused_and_left_as_it_is(
    name, atb_here, tmp_path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "file").write_text("hello\n")
    before = listing(tmp_path)
    words, told = MISPLACED[name]
    done = atb_here(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("atb: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert listing(tmp_path) == before
    assert (tmp_path / "file").read_text() == "hello\n"
    assert (tmp_path / "empty").read_bytes() == b""


def test_an_empty_corpus_is_refused(atb, tmp_path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    done = atb("data", "prepare", "empty.txt", "--out", "shards")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + b"\xff" * 5000, b"hello", b"\0" * 9000])
def test_a_corrupted_database_is_refused_and_left_as_it_is(atb_here, tmp_path, content) -> None:
    path = tmp_path / "profile.db"
    path.write_bytes(content)
    for words in (("profile", "fake", "--samples", "2"), ("predictor", "train"), ("report",)):
        done = atb_here(*words, "--db", "profile.db")
        assert done.returncode == 2, (words, done.stderr)
        assert done.stderr.count("\n") == 1, done.stderr
    assert path.read_bytes() == content
    assert listing(tmp_path) == {path}


def test_a_foreign_database_is_refused_and_left_as_it_is(atb, tmp_path) -> None:
    path = tmp_path / "profile.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table recipes (name text)")
    connection.close()
    before = path.read_bytes()
    done = atb("profile", "fake", "--samples", "2", "--db", "profile.db")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert path.read_bytes() == before


def test_a_predictor_that_is_truncated_or_of_other_conditions_is_refused(atb, tmp_path) -> None:
    assert atb("profile", "fake", "--samples", "30", "--db", "p.db").returncode == 0
    trained = atb("predictor", "train", "--db", "p.db", "--out", "predictor.json")
    assert trained.returncode == 0, trained.stderr
    fine = atb("predict", "tinybert-4", "--predictor", "predictor.json")
    assert fine.returncode == 0

    other = atb("predict", "tinybert-4", "--predictor", "predictor.json", "--threads", "2")
    assert other.returncode == 2
    assert "threads" in other.stderr

    reach = atb(*SEARCH, "--latency", "1us")
    assert reach.returncode == 2
    assert "smallest reachable" in reach.stderr
    assert reach.stderr.count("\n") == 1

    # what is read of the winner alone, after the search
    (tmp_path / "few.txt").write_text("A sentence of some words.\n" * 3, "utf-8")
    for given, said in (
        (("--proxy", "distillation", "--pairs", "none.csv"), "none.csv"),
        (("--improve", "1min", "--sentences", "none.txt"), "none.txt"),
        (("--improve", "1min", "--sentences", "few.txt", "--out", "few"), "3 sentences"),
        (("--improve", "soon"), "'soon' is not a duration"),
        (("--sentences", "few.txt"), "--improve"),
    ):
        early = atb(*SEARCH, "--latency", "1ms", *given)
        assert early.returncode == 2, given
        assert said in early.stderr.splitlines()[-1], early.stderr
        assert not list(tmp_path.glob("*/**/scores.jsonl"))

    text = (tmp_path / "predictor.json").read_text()
    (tmp_path / "half.json").write_text(text[: len(text) // 2])
    half = atb("predict", "tinybert-4", "--predictor", "half.json")
    assert half.returncode == 2
    assert half.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc on this system")
def test_an_unwritable_folder_is_refused_before_anything_is_measured(atb) -> None:
    done = atb("profile", "fake", "--samples", "2", "--db", "/proc/profile.db")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
