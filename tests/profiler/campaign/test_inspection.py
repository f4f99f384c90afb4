"""Weights on which a processor may slow down are told before a model is timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from atb.profiler.campaign.inspection import inspect_weights, weight_warnings

TINY = np.float32(1e-39)


def write(path: Path, *weights: np.ndarray) -> Path:
    tensors = [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(weights)]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [value], [out], tensors)), path)
    return path


def test_denormal_weights_are_counted_and_zeros_and_integers_are_not(tmp_path: Path) -> None:
    floats = np.array([0.0, 1.0, TINY, -TINY, np.finfo(np.float32).tiny], np.float32)
    doubles = np.array([1e-310, 1e-300], np.float64)
    integers = np.array([0, 1], np.int64)
    facts = inspect_weights(write(tmp_path / "m.onnx", floats, doubles, integers))
    assert facts is not None
    assert (facts.count, facts.denormal) == (7, 3)
    assert facts.denormal_share == pytest.approx(3 / 7)


def test_a_model_of_denormal_weights_is_warned_of_and_a_usual_one_is_not(tmp_path: Path) -> None:
    usual = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    assert weight_warnings(write(tmp_path / "usual.onnx", usual)) == ()
    usual[:10] = TINY
    (warning,) = weight_warnings(write(tmp_path / "denormal.onnx", usual))
    assert "10% of the weights are denormal" in warning


def test_weights_of_16_bits_are_told(tmp_path: Path) -> None:
    halves, few = np.ones((8, 8), np.float16), np.ones(8, np.float32)
    (warning,) = weight_warnings(write(tmp_path / "half.onnx", halves, few))
    assert "16 bits" in warning
    assert weight_warnings(write(tmp_path / "few.onnx", halves[0, :4], few)) == ()


def test_a_model_without_weights_has_no_share(tmp_path: Path) -> None:
    facts = inspect_weights(write(tmp_path / "none.onnx"))
    assert facts is not None
    assert facts.denormal_share == 0


@pytest.mark.parametrize("content", [b"hello", b"\xff" * 99])
def test_what_is_no_onnx_is_left_to_the_runtime(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert inspect_weights(tmp_path / "m.onnx") is None
    assert weight_warnings(tmp_path / "m.onnx") == ()
    assert weight_warnings(tmp_path / "missing.onnx") == ()
