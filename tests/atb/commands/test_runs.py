"""Whole commands on the simulated device: documents, resuming, Ctrl-C, a full disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def document(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["format"] == 1
    return found


def test_profile_hands_over_the_agreed_document_and_resumes_and_extends(atb) -> None:
    words = ("profile", "fake", "--db", "p.db", "--json")
    first = document(atb(*words, "--samples", "3"))
    assert first["failures"] == []
    fields = {
        "architecture", "conditions", "latency_seconds", "interval_seconds",
        "estimator", "flagged", "reasons", "campaign",
    }  # fmt: skip
    for measurement in first["measurements"]:
        assert fields <= set(measurement)
    assert document(atb(*words, "--samples", "3")) == first
    extended = document(atb(*words, "--samples", "5"))["measurements"]
    assert [m["architecture"] for m in extended[:3]] == [
        m["architecture"] for m in first["measurements"]
    ]
    assert {m["campaign"] for m in extended} == {"profile"}
    another = document(atb(*words, "--samples", "3", "--new-campaign"))
    assert {m["campaign"] for m in another["measurements"]} == {"profile-2"}
    listed = document(atb("profile", "--list", "--db", "p.db", "--json"))
    assert len(listed["measurements"]) == 8


def test_space_documents(atb) -> None:
    shown = document(atb("space", "show", "kd", "--json"))
    assert (shown["name"], shown["size"]) == ("kd", 47_462_800)
    assert shown["dimensions"]["hidden"] == {"first": 128, "last": 768, "step": 4, "count": 161}
    drawn = document(atb("space", "sample", "mini", "--samples", "4", "--json"))["architectures"]
    again = document(atb("space", "sample", "mini", "--samples", "2", "--json"))["architectures"]
    assert drawn[:2] == again


def test_predictor_documents(atb) -> None:
    assert atb("profile", "fake", "--db", "p.db", "--samples", "25").returncode == 0
    trained = document(
        atb("predictor", "train", "--db", "p.db", "--out", "predictor.json", "--json")
    )
    assert trained["rows"] == 25
    assert trained["cross_validated_mape"] < 0.01  # the simulated device has no noise
    judged = document(
        atb("predictor", "evaluate", "--db", "p.db", "--predictor", "predictor.json", "--json")
    )
    fields = {"rows", "mape", "within_5", "within_10", "spearman", "kendall"}
    assert fields <= set(judged)
    assert judged["within_5"] == 1.0
    predicted = document(
        atb("predict", "tinybert-4", "L2-H128-A4-Q128-F256", "--predictor", "predictor.json",
            "--explain", "--json")
    )["predictions"]  # fmt: skip
    assert [p["architecture"] for p in predicted] == [
        "L4-H312-A12-Q312-F1200",
        "L2-H128-A4-Q128-F256",
    ]
    for prediction in predicted:
        low, high = prediction["interval_seconds"]
        assert low <= prediction["latency_seconds"] <= high
        parts = sum(prediction["parts_seconds"].values())
        assert parts == pytest.approx(prediction["latency_seconds"])


def test_ctrl_c_keeps_what_was_measured_and_the_same_command_goes_on(tmp_path, atb) -> None:
    words = ("profile", "fake", "--db", "p.db", "--samples", "40")
    process = subprocess.Popen(
        [sys.executable, "-m", "atb", *words],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:  # until some blocks are there
        if line.startswith("profile: ") and not line.startswith("profile: 0/"):
            break
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    if process.returncode != 0:  # it may have been quicker than the signal
        assert process.returncode == 130
        assert error.splitlines()[-1].startswith("atb: Interrupted")
        assert "Traceback" not in error
    resumed = document(atb(*words, "--json"))
    through = document(atb("profile", "fake", "--db", "other.db", "--samples", "40", "--json"))
    assert [m["latency_seconds"] for m in resumed["measurements"]] == pytest.approx(
        [m["latency_seconds"] for m in through["measurements"]]
    )


def test_a_full_disk_ends_the_run_and_keeps_what_was_measured(tmp_path, atb) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    words = [sys.executable, "-m", "atb", "profile", "fake", "--db", "p.db", "--samples", "60"]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env=ENVIRONMENT,
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "what was measured stays" in done.stderr.splitlines()[-1]
    kept = document(atb("profile", "--list", "--db", "p.db", "--json"))["measurements"]
    assert kept
    assert document(atb(*words[3:], "--json"))["measurements"]


def test_an_architecture_that_cannot_be_loaded_is_a_record_and_the_rest_is_measured(atb) -> None:
    # three hundred layers do not fit into the limits of one timing artefact
    done = atb(
        "profile", "local", "--db", "p.db", "--json", "--budget", "2min",
        "--arch", "L1-H64-A2-Q64-F64", "--arch", "L400-H1024-A16-Q1024-F4096",
    )  # fmt: skip
    found = document(done)
    assert [m["architecture"] for m in found["measurements"]] == ["L1-H64-A2-Q64-F64"]
    assert {f["cause"] for f in found["failures"]} == {"build-error"}


@pytest.mark.slow
def test_quickstart_from_nothing_then_again_at_once(tmp_path, atb) -> None:
    words = ("quickstart", "--device", "fake", "--samples", "25", "--speedup", "30", "--improve")
    words = (*words, "1s", "--json")
    first = document(atb(*words))
    folder = tmp_path / "atb-runs" / "quickstart"
    assert {path.name for path in tmp_path.iterdir()} == {"atb-runs"}
    assert {"result.json", "report.html", "model"} <= {path.name for path in folder.iterdir()}
    for name in ("model.onnx", "model.int8.onnx", "model.safetensors", "config.json"):
        assert (folder / "model" / name).is_file()
    winner = first["winner"]
    assert winner["measured_seconds"] <= first["constraint_seconds"]
    stored = json.loads((folder / "result.json").read_text())
    assert stored["winner"] == winner
    blocks = (folder / "profile.db").stat().st_mtime_ns
    began = time.monotonic()
    assert document(atb(*words)) == first
    assert time.monotonic() - began < 120  # no second search: only a wide margin is asserted
    lines = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    rough = [line for line in lines if line["proxy"].endswith("-rough")]
    hopeless = sum(candidate["hopeless"] for candidate in first["candidates"])
    assert len(rough) == first["evaluations"]
    assert len(lines) - len(rough) == first["evaluations"] - hopeless
    assert (folder / "profile.db").stat().st_mtime_ns >= blocks
