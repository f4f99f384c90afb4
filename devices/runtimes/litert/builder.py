"""Build the TFLite graph of a small BERT directly, without a converter."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from atb.devices.runtimes.litert.graph import TfliteGraph, Value
from atb.errors import InputError
from atb.models import Architecture, Weights

#: Added to variances, as BERT does.
_LAYER_NORM_EPSILON = 1e-12
#: Offsets of a flatbuffer are signed 32-bit numbers.
_LARGEST_BYTES = 2**31 - 2**20
#: Steps on either side of zero; the one more that a byte has below zero stays unused.
_STEPS = 127
#: Versions of FULLY_CONNECTED that keep dimensions, and that take a scale for each row too.
_KEEPS_DIMENSIONS, _SCALES_BY_ROW = 5, 12


def build_tflite(
    architecture: Architecture,
    weights: Weights,
    *,
    precision: str,
    sequence_length: int,
    batch: int,
    vocabulary_size: int,
    positions: int,
) -> bytes:
    """Build embeddings, encoder and pooler from built-in operators of TFLite.

    Inputs are `input_ids`, `attention_mask` and `token_type_ids`, int64 [batch, sequence]; outputs
    are `last_hidden_state` [batch, sequence, hidden] and `pooler_output` [batch, hidden], float32.
    Batch and length are fixed, since XNNPACK takes no part of a graph of free shapes.

    In int8 the weights of all products with a constant matrix are int8, with a scale for each
    output, and activations are quantised at each inference (dynamic); all else stays in fp32.

    Args:
        architecture: The shape of the model.
        weights: By the names of `weights_shapes`, in torch's convention [out, in].
        precision: `fp32` or `int8`.
        sequence_length: Tokens in each sequence.
        batch: Sequences in one inference.
        vocabulary_size: Rows of the table of tokens.
        positions: Longest sequence; only those that are used are stored.

    Raises:
        InputError: The sequence is longer than the positions, or the model too large for a file.
    """
    if sequence_length > positions:
        raise InputError(
            f"Sequences of {sequence_length} do not fit into {positions} positions: "
            "shorten them, or build with more positions."
        )
    parameters = architecture.parameters(vocabulary_size=vocabulary_size, positions=positions)
    if 4 * parameters > _LARGEST_BYTES:
        raise InputError(
            f"{architecture} has {parameters:,} parameters, too many for a TFLite file, which "
            "ends at 2 GiB: make it smaller."
        )
    builder = _Bert(architecture, weights, precision, (batch, sequence_length))
    outputs = builder.add_model()
    metadata = {"architecture": str(architecture), "vocabulary_size": str(vocabulary_size)}
    return builder.graph.finish(outputs, metadata)


class _Bert:
    """Adds a BERT to a graph, part by part (Devlin et al. 2019: norms come after the sums)."""

    def __init__(
        self, architecture: Architecture, weights: Weights, precision: str, shape: tuple[int, int]
    ) -> None:
        self.graph = TfliteGraph()
        self._architecture = architecture
        self._weights = weights
        self._precision = precision
        self._shape = shape

    def add_model(self) -> dict[str, Value]:
        """Embeddings, layers and pooler; the outputs by name."""
        graph = self.graph
        tokens, mask, types = (
            graph.input(name, self._shape, np.int64)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        )
        words, kinds = self._looked_up("word", tokens), self._looked_up("token_type", types)
        name = "embeddings.position_embeddings.weight"
        places = graph.constant(name, self._weights[name][: self._shape[1]])  # [S, H]
        summed = graph.add("ADD", graph.add("ADD", words, kinds), places)
        hidden = self._norm(summed, "embeddings.LayerNorm")
        bias = self._mask_bias(mask)
        last = self._architecture.layers - 1
        for layer in range(last + 1):
            prefix = f"encoder.layer.{layer}"
            attended = self._attention(f"{prefix}.attention", hidden, bias)
            hidden = self._norm(
                graph.add("ADD", attended, hidden), f"{prefix}.attention.output.LayerNorm"
            )
            inner = self._linear(hidden, f"{prefix}.intermediate.dense")
            outer = self._linear(graph.add("GELU", inner), f"{prefix}.output.dense")
            hidden = self._norm(
                graph.add("ADD", outer, hidden),
                f"{prefix}.output.LayerNorm",
                output="last_hidden_state" if layer == last else None,
            )
        return {"last_hidden_state": hidden, "pooler_output": self._pooled(hidden)}

    def _looked_up(self, kind: str, indices: Value) -> Value:
        """Rows of a table of embeddings [B, S, H]."""
        name = f"embeddings.{kind}_embeddings.weight"
        table = self.graph.constant(name, self._weights[name])
        return self.graph.add("GATHER", table, indices, shape=(*self._shape, table.shape[1]))

    def _mask_bias(self, mask: Value) -> Value:
        """0 for real tokens and the lowest number for padding, added to scores: [B, 1, 1, S]."""
        graph, (batch, length) = self.graph, self._shape
        real = graph.add("CAST", mask)
        padding = graph.add("SUB", graph.scalar(1.0), real)
        bias = graph.add("MUL", padding, graph.scalar(float(np.finfo(np.float32).min)))
        shape = (batch, 1, 1, length)
        return graph.add("RESHAPE", bias, graph.integers(*shape), shape=shape)

    def _attention(self, prefix: str, hidden: Value, bias: Value) -> Value:
        """Multi-head attention [B, S, H] -> [B, S, H], of a query width that is free of H."""
        graph, (batch, length) = self.graph, self._shape
        heads, size = self._architecture.heads, self._architecture.head_size

        def project(part: str, factor: float = 1.0) -> Value:
            projected = self._linear(hidden, f"{prefix}.self.{part}", factor=factor)
            return self._split(projected)  # [B, A, S, D]

        # the scores are scaled where it costs nothing, as converters do: in the query's weights
        query = project("query", 1 / math.sqrt(size))
        key, value = project("key"), project("value")
        scores = graph.add(
            "BATCH_MATMUL", query, key, shape=(batch, heads, length, length), adjY=True
        )
        shares = graph.add("SOFTMAX", graph.add("ADD", scores, bias), beta=1.0)  # [B, A, S, S]
        context = graph.add("BATCH_MATMUL", shares, value, shape=value.shape)
        turned = self._transposed(context)  # [B, S, A, D]
        joined = (batch, length, self._architecture.qkv)
        merged = graph.add("RESHAPE", turned, graph.integers(*joined), shape=joined)
        return self._linear(merged, f"{prefix}.output.dense")

    def _split(self, values: Value) -> Value:
        """[B, S, Q] -> [B, A, S, D]."""
        heads, size = self._architecture.heads, self._architecture.head_size
        shape = (*self._shape, heads, size)
        parts = self.graph.add("RESHAPE", values, self.graph.integers(*shape), shape=shape)
        return self._transposed(parts)

    def _transposed(self, values: Value) -> Value:
        """The two dimensions in the middle of four change places."""
        first, second, third, fourth = values.shape
        return self.graph.add(
            "TRANSPOSE",
            values,
            self.graph.integers(0, 2, 1, 3),
            shape=(first, third, second, fourth),
        )

    def _pooled(self, hidden: Value) -> Value:
        """What the pooler makes of each first token [B, H]."""
        graph, (batch, _, width) = self.graph, hidden.shape
        begin, size = graph.integers(0, 0, 0), (batch, 1, width)
        first = graph.add("SLICE", hidden, begin, graph.integers(*size), shape=size)
        flat = graph.add("RESHAPE", first, graph.integers(batch, width), shape=(batch, width))
        return graph.add("TANH", self._linear(flat, "pooler.dense"), name="pooler_output")

    def _norm(self, values: Value, name: str, *, output: str | None = None) -> Value:
        """Normalise over the hidden dimension; TFLite has no operator of its own for it."""
        graph = self.graph
        mean = self._mean(values)
        centred = graph.add("SUB", values, mean)
        variance = self._mean(graph.add("SQUARE", centred))
        steady = graph.add("ADD", variance, graph.scalar(_LAYER_NORM_EPSILON))
        scaled = graph.add("MUL", centred, graph.add("RSQRT", steady))
        scaled = graph.add("MUL", scaled, self._vector(f"{name}.weight"))
        return graph.add("ADD", scaled, self._vector(f"{name}.bias"), name=output)

    def _mean(self, values: Value) -> Value:
        """Over the last dimension, which stays as one."""
        last = self.graph.integers(len(values.shape) - 1)
        return self.graph.add("MEAN", values, last, shape=(*values.shape[:-1], 1), keepDims=True)

    def _linear(self, values: Value, name: str, *, factor: float = 1.0) -> Value:
        """Multiply by a constant matrix, add a bias, and scale the sum by a factor."""
        matrix, bias = (self._weights[f"{name}.{part}"] for part in ("weight", "bias"))
        if factor != 1:
            matrix, bias = matrix * np.float32(factor), bias * np.float32(factor)
        shape = (*values.shape[:-1], matrix.shape[0])
        if self._precision == "int8":
            steps, scales = _quantised(matrix)
            stored = self.graph.constant(f"{name}.weight", steps, scales=scales)
        else:
            stored = self.graph.constant(f"{name}.weight", matrix)
        return self.graph.add(
            "FULLY_CONNECTED",
            values,
            stored,
            self.graph.constant(f"{name}.bias", bias),
            shape=shape,
            version=_SCALES_BY_ROW if self._precision == "int8" else _KEEPS_DIMENSIONS,
            keepNumDims=True,
            asymmetricQuantizeInputs=self._precision == "int8",
        )

    def _vector(self, name: str) -> Value:
        return self.graph.constant(name, self._weights[name])


def _quantised(
    matrix: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Steps of int8 around zero, and what a step is worth in each row."""
    largest = np.abs(matrix).max(axis=1)
    # a row of zeros has no scale of its own, and any is right
    scales = np.where(largest > 0, largest / np.float32(_STEPS), np.float32(1)).astype(np.float32)
    steps = np.rint(matrix / scales[:, None])
    return np.clip(steps, -_STEPS, _STEPS).astype(np.int8), scales
