from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atb.devices.runtimes.litert.builder import build_tflite
from atb.devices.runtimes.reference import forward
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.weights import random_weights

SMALL = Architecture(2, 20, 3, 33, 28)
SIZES = {"vocabulary_size": 50, "positions": 24}

Arrays = dict[str, npt.NDArray[Any]]


def lively_weights(architecture: Architecture, rng: np.random.Generator) -> Arrays:
    """Larger than initial ones, so that a wrong attention or activation shows."""
    weights = random_weights(architecture, rng, **SIZES)
    return {name: 8 * w if name.endswith("dense.weight") else w for name, w in weights.items()}


def random_feed(rng: np.random.Generator, batch: int, length: int) -> Arrays:
    """Tokens, segments, and padding of another length in each sequence."""
    real = rng.integers(1, length + 1, size=batch)
    return {
        "input_ids": rng.integers(0, SIZES["vocabulary_size"], (batch, length)),
        "attention_mask": (np.arange(length) < real[:, None]).astype(np.int64),
        "token_type_ids": rng.integers(0, 2, (batch, length)),
    }


def build(
    architecture: Architecture, weights: Arrays, *, precision: str = "fp32", **shape: int
) -> bytes:
    shape = {"batch": 2, "sequence_length": 13, **shape}
    return build_tflite(architecture, weights, precision=precision, **shape, **SIZES)


def run(content: bytes, feed: Arrays) -> Arrays:
    """The outputs by name, of the signature that each runtime offers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    outputs: Arrays = interpreter.get_signature_runner("serving_default")(**feed)
    return outputs


def read(content: bytes) -> Any:
    """The tables of a file."""
    from ai_edge_litert.schema_py_generated import Model

    return Model.GetRootAs(content, 0)


@pytest.mark.parametrize(
    ("architecture", "batch", "length"),
    [
        (SMALL, 2, 13),
        (Architecture(1, 9, 1, 3, 9), 1, 1),
        (Architecture(3, 64, 4, 32, 100), 3, 24),
        (Architecture(2, 51, 5, 85, 7), 1, 17),
        (Architecture(1, 128, 2, 128, 512), 2, 16),
    ],
    ids=str,
)
def test_a_graph_equals_the_reference_padding_included(
    architecture: Architecture, batch: int, length: int
) -> None:
    rng = np.random.default_rng(3)
    weights, feed = lively_weights(architecture, rng), random_feed(rng, batch, length)
    found = run(build(architecture, weights, batch=batch, sequence_length=length), feed)
    hidden, pooled = forward(architecture, weights, **feed)
    np.testing.assert_allclose(found["last_hidden_state"], hidden, atol=1e-4)
    np.testing.assert_allclose(found["pooler_output"], pooled, atol=1e-4)


def test_padding_does_not_change_the_real_tokens() -> None:
    rng = np.random.default_rng(2)
    weights, feed = lively_weights(SMALL, rng), random_feed(rng, 1, 9)
    feed["attention_mask"][:] = 1
    padded = {name: np.pad(values, ((0, 0), (0, 5))) for name, values in feed.items()}
    alone, beside = (
        run(build(SMALL, weights, batch=1, sequence_length=length), fed)["last_hidden_state"]
        for length, fed in ((9, feed), (14, padded))
    )
    np.testing.assert_allclose(beside[:, :9], alone, atol=1e-5)
    shown = {**padded, "attention_mask": np.ones_like(padded["attention_mask"])}
    content = build(SMALL, weights, batch=1, sequence_length=14)
    assert np.abs(run(content, shown)["last_hidden_state"][:, :9] - alone).max() > 1e-3


def test_int8_rounds_weights_by_row_and_activations_too() -> None:
    rng = np.random.default_rng(4)
    weights, feed = lively_weights(SMALL, rng), random_feed(rng, 2, 13)
    rounded = dict(weights)
    for name, matrix in weights.items():
        if matrix.ndim == 2 and "embeddings" not in name:
            step = np.abs(matrix).max(axis=1, keepdims=True) / 127
            rounded[name] = np.rint(matrix / step) * step
    found = run(build(SMALL, weights, precision="int8"), feed)["last_hidden_state"]
    exact, _ = forward(SMALL, weights, **feed)
    by_weights_alone, _ = forward(SMALL, rounded, **feed)
    assert 1e-3 < np.abs(found - by_weights_alone).max() < 0.1
    assert np.abs(found - exact).max() < 0.1


def test_int8_stores_every_matrix_of_a_product_as_bytes_and_no_other_tensor() -> None:
    from ai_edge_litert.schema_py_generated import TensorType

    content = build(SMALL, lively_weights(SMALL, np.random.default_rng(0)), precision="int8")
    graph = read(content).Subgraphs(0)
    tensors = [graph.Tensors(place) for place in range(graph.TensorsLength())]
    small = {t.Name().decode(): t for t in tensors if t.Type() == TensorType.INT8}
    assert len(small) == 6 * SMALL.layers + 1  # the pooler's
    assert all(name.endswith("dense.weight") or ".self." in name for name in small)
    for tensor in small.values():
        rows, columns = tensor.ShapeAsNumpy()
        assert read(content).Buffers(tensor.Buffer()).DataLength() == rows * columns
        assert tensor.Quantization().ScaleLength() == rows
        assert tensor.Quantization().QuantizedDimension() == 0
        assert not tensor.Quantization().ZeroPointAsNumpy().any()


def test_a_row_of_zeros_stays_zero_in_int8() -> None:
    rng = np.random.default_rng(6)
    weights, feed = lively_weights(SMALL, rng), random_feed(rng, 2, 13)
    for part in ("weight", "bias"):
        weights[f"pooler.dense.{part}"] = weights[f"pooler.dense.{part}"].copy()
        weights[f"pooler.dense.{part}"][5] = 0
    pooled = run(build(SMALL, weights, precision="int8"), feed)["pooler_output"]
    assert np.isfinite(pooled).all()
    np.testing.assert_array_equal(pooled[:, 5], 0)


def test_a_file_says_what_it_takes_and_gives_and_what_it_is() -> None:
    content = build(SMALL, lively_weights(SMALL, np.random.default_rng(0)))
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    assert [(t["name"], [*t["shape"]], t["dtype"]) for t in inputs] == [
        (name, [2, 13], np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    assert [(t["name"], [*t["shape"]], t["dtype"]) for t in outputs] == [
        ("last_hidden_state", [2, 13, 20], np.float32),
        ("pooler_output", [2, 20], np.float32),
    ]
    model = read(content)
    told = {}
    for entry in (model.Metadata(place) for place in range(model.MetadataLength())):
        told[entry.Name()] = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    assert told == {b"architecture": str(SMALL).encode(), b"vocabulary_size": b"50"}
    assert content[4:8] == b"TFL3"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_constants_are_aligned_for_vectors(precision: str) -> None:
    content = build(SMALL, lively_weights(SMALL, np.random.default_rng(0)), precision=precision)
    model = read(content)
    whole = np.frombuffer(content, np.uint8)
    start = whole.ctypes.data
    buffers = [model.Buffers(place) for place in range(model.BuffersLength())]
    places = [b.DataAsNumpy().ctypes.data - start for b in buffers if not b.DataIsNone()]
    assert len(places) > 16 * SMALL.layers
    assert {place % 16 for place in places} == {0}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_same_weights_give_the_same_bytes_however_they_lie_in_memory(precision: str) -> None:
    weights = lively_weights(SMALL, np.random.default_rng(0))
    turned = {name: np.ascontiguousarray(values) for name, values in weights.items()}
    other = lively_weights(SMALL, np.random.default_rng(1))
    first, again, different = (
        build(SMALL, w, precision=precision) for w in (weights, turned, other)
    )
    assert first == again
    assert first != different


def test_a_sequence_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(InputError, match="25 do not fit into 24 positions"):
        build(SMALL, {}, sequence_length=25)


def test_a_model_too_large_for_a_file_is_refused() -> None:
    with pytest.raises(InputError, match="2 GiB"):
        build(Architecture(24, 65_536, 64, 65_536, 65_536), {})
