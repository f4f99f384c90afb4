from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from atb.devices.contract import LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.runtimes.onnxruntime import ort
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.runtimes.onnxruntime.ort import OnnxRuntimeOrt
from atb.devices.runtimes.onnxruntime.ort_format import in_order
from atb.devices.runtimes.reference import TIMING_VOCABULARY, check_device
from atb.devices.settings import PRECISIONS, RunSettings
from atb.models.architecture import Architecture

SMALL = Architecture(2, 60, 6, 42, 100)


def open_session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("fields", [{}, {"batch": 3, "sequence_length": 9, "threads": 2}])
def test_it_computes_what_the_reference_computes(precision: str, fields: dict[str, int]) -> None:
    found = check_device(
        LocalDevice(), OnnxRuntimeOrt(), RunSettings(precision=precision, **fields)
    )
    assert found.passed, found
    assert found.providers == ("CPUExecutionProvider",)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_keeps_free_shapes_and_what_the_model_says_of_itself(
    precision: str, tmp_path: Path
) -> None:
    artefact = OnnxRuntimeOrt().build(SMALL, RunSettings(precision=precision), tmp_path)
    session = open_session(artefact.path)
    assert [node.shape for node in session.get_inputs()] == [["batch", "sequence"]] * 3
    told = session.get_modelmeta().custom_metadata_map
    assert told["vocabulary_size"] == str(TIMING_VOCABULARY)
    assert told["architecture"] == str(SMALL)


def test_int8_computes_its_products_in_int8(tmp_path: Path) -> None:
    settings = RunSettings(precision="int8", sequence_length=16)
    artefact = OnnxRuntimeOrt().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(OnnxRuntimeOrt(), settings) as launch:
        launch.load("a", artefact)
        kinds = [operator.operator for operator in launch.operators("a", iterations=2)]
    quantised = kinds.count("DynamicQuantizeMatMul") + kinds.count("MatMulIntegerToFloat")
    assert quantised == 6 * SMALL.layers + 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_files_that_onnxruntime_wrote_in_another_order_become_the_same(
    precision: str, tmp_path: Path
) -> None:
    source = OnnxRuntimeCpu().build(SMALL, RunSettings(precision=precision), tmp_path)
    ordered = set()
    for number in range(4):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.optimized_model_filepath = str(tmp_path / f"{number}.ort")
        onnxruntime.InferenceSession(source.path, options, providers=["CPUExecutionProvider"])
        ordered.add(in_order((tmp_path / f"{number}.ort").read_bytes()))
    (content,) = ordered
    assert in_order(content) == content


def test_a_file_of_another_format_is_not_put_in_order() -> None:
    assert in_order(b"no model at all") == b"no model at all"


@pytest.mark.parametrize("content", ["onnx", "text"])
def test_a_file_of_another_format_is_a_load_error(content: str, tmp_path: Path) -> None:
    artefact = OnnxRuntimeCpu().build(SMALL, RunSettings(), tmp_path)
    if content == "text":
        artefact.path.write_bytes(b"no model")
        artefact = describe_artefact(artefact.path)
    with (
        LocalDevice().launch(OnnxRuntimeOrt(), RunSettings()) as launch,
        pytest.raises(LaunchFailure, match="ORT model verification failed") as caught,
    ):
        launch.load("a", artefact)
    assert caught.value.cause == "load-error"


def test_converting_says_nothing_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    artefact = OnnxRuntimeOrt().build(SMALL, RunSettings(precision="int8"), tmp_path)
    assert list(tmp_path.iterdir()) == [artefact.path]
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_converted_is_a_build_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(architecture: Architecture, settings: RunSettings, path: Path) -> None:
        path.write_bytes(b"no model")

    monkeypatch.setattr(ort, "write_onnx", write)
    with pytest.raises(LaunchFailure, match=f"{SMALL}: .*onnx") as caught:
        OnnxRuntimeOrt().build(SMALL, RunSettings(), tmp_path)
    assert caught.value.cause == "build-error"
    assert list(tmp_path.iterdir()) == []
