"""`atb compare` as a person runs it: exit codes, words, documents, bad input, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from atb.commands.arguments.target import TargetOptions
from atb.commands.compare import parse_side
from atb.devices.fake.device import FakeRuntime
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu, quantise
from atb.devices.settings import RunSettings
from atb.errors import BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED

ROOT = Path(__file__).resolve().parents[3]
FAKE = ("--device", "fake")
SMALL, LARGER = "L2-H128-A2-Q128-F512", "L2-H128-A2-Q128-F640"
OPTIONS = TargetOptions(device="fake")
LOCAL = TargetOptions(device="local", runtime="onnxruntime")


@pytest.mark.parametrize(
    ("words", "code", "verdict"),
    [
        ((SMALL, "bert-tiny"), 0, "No difference: they differ by less than 1%."),
        ((SMALL, LARGER), 3, "The second is slower."),
        ((LARGER, SMALL), 5, "The second is faster."),
        ((SMALL, LARGER, "--budget", "1ms"), 4, "Undecided: "),
        ((SMALL, LARGER, "--within", "50%"), 0, "No difference: they differ by less than 50%."),
        (("tinybert-4", "tinybert-4,precision=int8"), 5, "The second is faster."),
        (("tinybert-4,threads=2", "tinybert-4", "--threads", "1"), 3, "The second is slower."),
    ],
)
def test_the_exit_code_is_the_verdict(atb, words, code, verdict) -> None:
    done = atb("compare", *words, *FAKE)
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(verdict)
    assert lines[1].split()[0] == "first"
    assert lines[2].split()[0] == "second"
    assert "times as long (" in lines[3]


def test_the_document_holds_both_sides_the_ratio_and_how_it_was_found(atb, tmp_path) -> None:
    words = ("compare", SMALL, f"{LARGER},threads=2", *FAKE, "--json", "--out", "runs/it.json")
    done = atb(*words)
    assert done.returncode == 5, done.stderr
    found = json.loads(done.stdout)
    assert found["format"] == 1
    assert found["first"]["architecture"] == SMALL
    assert found["second"]["conditions"]["threads"] == 2
    assert found["verdict"] == "faster"
    low, high = found["interval_ratio"]
    assert low <= found["ratio"] <= high < 1
    assert found["ratio"] == pytest.approx(
        found["second"]["latency_seconds"] / found["first"]["latency_seconds"]
    )
    assert (found["confidence"], found["within"], found["workers"]) == (0.99, 0.01, 2)
    assert len(found["log_ratios"]) == found["launches"]
    assert found["blocks"] > 2 * found["launches"]
    assert (found["flagged"], found["reasons"], found["ended_by"]) == (False, [], "verdict")
    written = json.loads((tmp_path / "runs" / "it.json").read_text())
    assert written == {**found, "kind": "comparison"}
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_nothing_is_written_where_nothing_was_asked_for(atb, tmp_path) -> None:
    assert atb("compare", SMALL, SMALL, *FAKE).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_files_are_compared_and_their_denormal_weights_told(atb, tmp_path) -> None:
    from atb.models.onnx_builder import build_graph, save_graph
    from atb.models.weights import random_weights

    shape = PUBLISHED["bert-tiny"]
    path = FakeRuntime().build(shape, RunSettings(), tmp_path).path.rename(tmp_path / "a.onnx")
    done = atb("compare", SMALL, path.name, *FAKE)
    assert done.returncode == 0, done.stderr
    assert "a.onnx@" in done.stdout
    assert "denormal" not in done.stderr

    import numpy as np

    weights = random_weights(shape, np.random.default_rng(0), vocabulary_size=1024)
    weights["pooler.dense.weight"][:] = 1e-39
    save_graph(build_graph(shape, weights=weights), tmp_path / "b.onnx")
    told = atb("compare", SMALL, "b.onnx", *FAKE)
    assert "b.onnx: " in told.stderr
    assert "denormal" in told.stderr
    # the simulated device cannot read it: a run that failed, and which side it was
    assert told.returncode == 1
    assert "The second, b.onnx@" in told.stderr
    assert "load-error" in told.stderr


CASES = {
    "unknown name": ((SMALL, "tinybert4"), "tinybert-4"),
    "malformed architecture": (("L4-H312", SMALL), "L4-H312"),
    "missing file": ((SMALL, "none.onnx"), "none.onnx"),
    "unknown setting": ((SMALL, f"{SMALL},speed=2"), "'speed'"),
    "setting that is no number": ((SMALL, f"{SMALL},threads=two"), "whole number"),
    "setting out of range": ((SMALL, f"{SMALL},threads=0"), "threads"),
    "precision that is not served": ((SMALL, f"{SMALL},precision=fp7"), "fp32 or int8"),
    "unknown runtime of a side": ((SMALL, f"{SMALL},runtime=steam"), "steam"),
    "unknown device": ((SMALL, SMALL, "--device", "toaster"), "toaster"),
    "one side": ((SMALL,), "B"),
    "share without percent sign": ((SMALL, SMALL, "--within", "0.01"), "percent"),
    "unitless budget": ((SMALL, SMALL, "--budget", "10"), "unit"),
    "negative budget": ((SMALL, SMALL, "--budget", "-10s"), "10s"),
    "negative seed": ((SMALL, SMALL, "--seed", "-1"), "seed"),
    "folder as output": ((SMALL, SMALL, "--out", "."), "--out"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_bad_input_is_one_sentence_and_writes_nothing(name, atb, tmp_path) -> None:
    words, told = CASES[name]
    done = atb("compare", *words, *(() if "--device" in words else FAKE))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("atb: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_own_settings_win_over_the_options_and_the_rest_holds() -> None:
    options = replace(OPTIONS, threads=4, batch=8)
    _, side = parse_side("minilm-6,threads=2,precision=int8", options)
    assert side.subject == PUBLISHED["minilm-6"]
    assert side.settings == RunSettings(precision="int8", threads=2, batch=8)


def test_lists_of_cpus_and_names_of_files_may_have_commas(tmp_path: Path) -> None:
    path = tmp_path / "my,model.onnx"
    path.write_bytes(b"anything")
    _, side = parse_side(f"{path},affinity=0,1,sequence-length=64", OPTIONS)
    assert str(side.subject).startswith("my,model.onnx@")
    assert side.settings == RunSettings(affinity=(0, 1), sequence_length=64)


def test_a_file_has_the_precision_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(InputError, match="timed as it is"):
        parse_side(f"{path},precision=int8", OPTIONS)
    with pytest.raises(BadFile, match=r"model\.onnx"):
        parse_side(str(path), OPTIONS)


def test_a_file_is_called_by_the_precision_in_which_it_computes(tmp_path: Path) -> None:
    settings = RunSettings()
    built = OnnxRuntimeCpu().build(Architecture.parse(SMALL), settings, tmp_path).path
    small = tmp_path / "small.onnx"
    quantise(built, small)
    for path, precision in ((built, "fp32"), (small, "int8")):
        _, side = parse_side(str(path), LOCAL)
        assert side.settings == replace(settings, precision=precision)
    asked = TargetOptions(device="local", precision="int8")
    with pytest.raises(InputError, match=r"in fp32 on onnxruntime.*leave --precision out"):
        parse_side(str(built), asked)
    assert parse_side(str(small), asked)[1].settings.precision == "int8"
    (tmp_path / "no.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="timed as it is"):
        parse_side(str(tmp_path / "no.onnx"), asked)


def test_a_runtime_computes_a_file_in_a_precision_that_it_serves(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    built = OnnxRuntimeCpu().build(Architecture.parse(SMALL), RunSettings("int8"), tmp_path).path
    _, side = parse_side(str(built), TargetOptions(device="local", runtime="openvino"))
    assert side.settings.precision == "fp32"  # its products are


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_tells_what_is_known(tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "atb", "compare", "bert-tiny", "bert-tiny", "--budget", "10min"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background job, such as this test may be part of, ignores Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stderr is not None
    for line in process.stderr:  # until there is a launch
        if line.startswith("compare: "):
            break
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert error.splitlines()[-1].startswith("atb: Interrupted")
    assert "times as long" in error.splitlines()[-1]
    assert "Traceback" not in error
