"""What `atb profile` offers beside plain campaigns, as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow

SHAPE = "L1-H128-A2-Q128-F512"
FAKE = ("profile", "fake", "--arch", SHAPE)


def document(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_lists_of_settings_measure_every_combination(atb) -> None:
    done = document(atb(*FAKE, "--threads", "1,2", "--precision", "fp32,int8", "--json"))
    measured = done["measurements"]
    conditions = {(m["conditions"]["threads"], m["conditions"]["precision"]) for m in measured}
    assert conditions == {(1, "fp32"), (2, "fp32"), (1, "int8"), (2, "int8")}
    by_threads = {
        m["conditions"]["threads"]: m["latency_seconds"]
        for m in measured
        if m["conditions"]["precision"] == "fp32"
    }
    assert by_threads[2] < by_threads[1]


def test_the_device_is_an_argument_or_an_option_as_everywhere_else(atb) -> None:
    words = ("--arch", SHAPE, "--json")
    by_option = document(atb("profile", "--device", "fake", *words))
    by_both = document(atb("profile", "fake", "--device", "fake", *words))
    for found in (by_option, by_both):
        assert found["measurements"][0]["conditions"]["device"] == "fake"


def test_each_combination_has_a_table_of_its_own(atb) -> None:
    done = atb(*FAKE, "--batch", "1,4")
    assert done.returncode == 0
    assert done.stdout.count("wall median ms") == 2
    assert "batch 4" in done.stdout


def test_throughput_tells_requests_a_second(atb) -> None:
    words = ("--scenario", "throughput", "--streams", "1,4", "--json")
    one, four = document(atb(*FAKE, *words))["measurements"]
    assert four["requests_per_second"] > one["requests_per_second"] > 0
    assert (one["conditions"]["scenario"], four["conditions"]["streams"]) == ("throughput", 4)


def test_a_sustained_run_tells_its_curve(atb) -> None:
    words = ("--scenario", "sustained", "--duration", "5s", "--json")
    (found,) = document(atb(*FAKE, *words))["measurements"]
    assert len(found["curve"]["latency_seconds"]) == 5
    assert found["sustained_over_first"] == pytest.approx(1.0)


def test_operators_are_a_table_and_a_picture(atb, tmp_path) -> None:
    done = atb(*FAKE, "--operators")
    assert done.returncode == 0, done.stderr
    assert "by the runtime's own profiler" in done.stdout
    assert (tmp_path / "atb-runs" / "operators.png").read_bytes().startswith(b"\x89PNG")
    found = document(atb(*FAKE, "--operators", "--json"))["operators"][0]
    assert sum(operator["share"] for operator in found["operators"]) == pytest.approx(1.0)


def test_tokenisation_is_told_apart(atb) -> None:
    done = document(atb(*FAKE, "--tokenisation", "--json"))
    (found,) = done["tokenisation"]
    assert found["tokenisation_seconds"] > 0
    assert found["conditions"]["sequence_length"] == 128


@pytest.fixture
def model(tmp_path: Path) -> Path:
    from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
    from atb.devices.settings import RunSettings
    from atb.models.architecture import Architecture

    built = OnnxRuntimeCpu().build(Architecture.parse(SHAPE), RunSettings(), tmp_path)
    return built.path.rename(tmp_path / "mine.onnx")


def test_a_model_of_ones_own_is_measured_and_known_by_its_content(atb, model) -> None:
    words = ("profile", "--model", "mine.onnx", "--json")
    (found,) = document(atb(*words))["measurements"]
    assert found["architecture"].startswith("mine.onnx@")
    assert found["latency_seconds"] > 0
    again = document(atb(*words))["measurements"]
    assert again == [found]  # the same command measures nothing twice
    listed = document(atb("profile", "--list", "--json"))["measurements"]
    assert [m["architecture"] for m in listed] == [found["architecture"]]


@pytest.mark.slow
def test_operators_of_a_file_are_told(atb, model) -> None:
    words = ("profile", "--model", "mine.onnx", "--operators", "--json")
    (found,) = document(atb(*words))["operators"]
    assert sum(operator["share"] for operator in found["operators"]) == pytest.approx(1.0)


@pytest.mark.slow
def test_files_are_measured_in_the_precision_that_each_has(atb, model, tmp_path) -> None:
    from atb.devices.runtimes.onnxruntime.cpu import quantise

    quantise(model, tmp_path / "small.onnx")
    words = ("--model", "mine.onnx", "--model", "small.onnx", "--wait", "1s", "--json")
    measured = document(atb("profile", *words))["measurements"]
    found = {m["architecture"].split("@")[0]: m["conditions"]["precision"] for m in measured}
    assert found == {"mine.onnx": "fp32", "small.onnx": "int8"}


def test_operators_that_a_runtime_does_not_tell_are_refused_before_anything_runs(
    atb_here, tmp_path
) -> None:
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    done = atb_here("profile", "local", "--runtime", "ncnn", "--arch", SHAPE, "--operators")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "leave --operators out, or give --runtime onnxruntime" in done.stderr
    assert not list(tmp_path.rglob("*.db"))


def test_a_predictor_is_not_fitted_on_models_without_an_architecture(atb, model) -> None:
    assert atb("profile", "--model", "mine.onnx").returncode == 0
    done = atb("predictor", "train")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
