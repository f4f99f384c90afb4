from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from atb.devices.contract import LaunchFailure
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu, quantise
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.onnx_builder import build_graph, save_graph

ARCHITECTURE = Architecture(2, 60, 6, 42, 100)


def test_int8_quantises_every_product_with_a_constant_matrix_and_no_other(tmp_path: Path) -> None:
    artefact = OnnxRuntimeCpu().build(ARCHITECTURE, RunSettings(precision="int8"), tmp_path)
    operators = [node.op_type for node in onnx.load(artefact.path).graph.node]
    assert operators.count("MatMulInteger") == 6 * ARCHITECTURE.layers + 1  # the pooler's
    assert operators.count("MatMul") == 2 * ARCHITECTURE.layers  # of the attention


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_timing_graph_has_free_shapes_as_the_deployed_one(
    tmp_path: Path, precision: str
) -> None:
    artefact = OnnxRuntimeCpu().build(ARCHITECTURE, RunSettings(precision=precision), tmp_path)
    graph = onnx.load(artefact.path).graph
    axes = [[axis.dim_param for axis in node.type.tensor_type.shape.dim] for node in graph.input]
    assert axes == [["batch", "sequence"]] * 3


def test_quantised_weights_are_a_quarter_of_the_size(tmp_path: Path) -> None:
    large = Architecture(2, 256, 4, 256, 1024)
    sizes = [
        OnnxRuntimeCpu().build(large, RunSettings(precision=precision), tmp_path).size_bytes
        for precision in ("fp32", "int8")
    ]
    embeddings = 4 * 256 * (1024 + 512 + 2)
    assert sizes[1] - embeddings < 0.27 * (sizes[0] - embeddings)


def test_a_quantised_deployment_takes_any_batch_and_length(tmp_path: Path) -> None:
    graph = build_graph(ARCHITECTURE, sequence_length=None, batch=None)
    save_graph(graph, tmp_path / "model.onnx")
    quantise(tmp_path / "model.onnx", tmp_path / "model.int8.onnx")
    full, small = (
        onnxruntime.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"])
        for name in ("model.onnx", "model.int8.onnx")
    )
    for batch, length in ((1, 5), (3, 12)):
        tokens = np.arange(batch * length, dtype=np.int64).reshape(batch, length)
        feed = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        for expected, got in zip(full.run(None, feed), small.run(None, feed), strict=True):
            np.testing.assert_allclose(got, expected, atol=0.03)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.int8.onnx"}


def test_quantising_prints_and_logs_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    OnnxRuntimeCpu().build(ARCHITECTURE, RunSettings(precision="int8"), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
    assert logging.root.manager.disable == logging.NOTSET


def test_sequences_longer_than_bert_knows_get_the_positions_they_need(tmp_path: Path) -> None:
    settings = RunSettings(sequence_length=600)
    artefact = OnnxRuntimeCpu().build(Architecture(1, 8, 2, 8, 8), settings, tmp_path)
    table = {tensor.name: tensor for tensor in onnx.load(artefact.path).graph.initializer}
    assert list(table["embeddings.position_embeddings.weight"].dims) == [600, 8]


def test_an_architecture_too_large_for_a_file_is_a_build_error(tmp_path: Path) -> None:
    huge = Architecture(24, 65_536, 64, 65_536, 65_536)
    with pytest.raises(LaunchFailure) as caught:
        OnnxRuntimeCpu().build(huge, RunSettings(), tmp_path)
    assert caught.value.cause == "build-error"
    assert str(huge) in caught.value.detail
    assert not list(tmp_path.iterdir())
