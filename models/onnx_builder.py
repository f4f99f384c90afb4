"""Build the ONNX graph of a small BERT directly, without torch.

One builder serves both uses: timing (random weights, small vocabulary) and deployment (trained
weights, the full vocabulary), both of any batch and length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from atb.errors import InputError
from atb.files import atomic_path
from atb.models.architecture import Architecture
from atb.models.weights import Weights, random_weights, weights_shapes

#: What may follow an encoder.
Head = Literal["classification", "qa"]
Axes = tuple[str | int, str | int]

#: The first version of the standard operators that has Gelu; every newer runtime reads it.
OPSET = 20
_IR_VERSION = 9  # the one that came with it
#: A protobuf message ends here, and with it a model in one file.
_LARGEST_BYTES = 2**31 - 2**20


def build_graph(
    architecture: Architecture,
    *,
    weights: Mapping[str, npt.NDArray[np.float32]] | None = None,
    seed: int = 0,
    vocabulary_size: int = 1024,
    positions: int = 512,
    token_types: int = 2,
    sequence_length: int | None = 128,
    batch: int | None = 1,
    layer_norm_epsilon: float = 1e-12,
    head: Head | None = None,
) -> onnx.ModelProto:
    """Build embeddings, encoder and pooler from standard ONNX operators.

    Inputs are `input_ids`, `attention_mask` and `token_type_ids`, int64 [batch, sequence]; outputs
    are `last_hidden_state` [batch, sequence, hidden] and `pooler_output` [batch, hidden], float32.
    With a head they are its own: `logits` [batch, labels] of a classifier, or `start_logits` and
    `end_logits` [batch, sequence] of answers.

    Args:
        architecture: The shape of the model.
        weights: Arrays by the names of `weights_shapes`, matrices as [out, in]; more names,
            such as those of a task head, are left out. None draws them.
        seed: Determines the random weights.
        vocabulary_size: Rows of the word table.
        positions: Tokens in the longest sequence.
        token_types: Kinds of sentences that are told apart.
        sequence_length: Tokens of every sequence; None accepts any number up to `positions`.
        batch: Sequences of every batch; None accepts any number.
        layer_norm_epsilon: Added to the variance in LayerNorm.
        head: Head of a task, whose weights `weights` holds as `classifier` or `qa_outputs`.

    Raises:
        InputError: The sequence is longer than the positions, weights are missing or of another
            shape, or the model is too large for one file.
    """
    sizes = {"vocabulary_size": vocabulary_size, "positions": positions, "token_types": token_types}
    _check_sizes(architecture, sizes, sequence_length)
    if weights is None:
        if head is not None:
            raise InputError(f"A graph with a head ({head}) needs weights: give those of a model.")
        weights = random_weights(architecture, np.random.default_rng(seed), **sizes)
    else:
        shapes = weights_shapes(architecture, **sizes)
        _check_weights(weights, shapes | _head_shapes(head, weights, architecture.hidden))
    graph = _Graph(weights, layer_norm_epsilon)
    axes = ("batch" if batch is None else batch, sequence_length or "sequence")
    _add_model(graph, architecture, head)
    model = graph.finish(axes, _outputs(architecture, head, axes, weights))
    metadata = {"architecture": str(architecture), "vocabulary_size": str(vocabulary_size)}
    helper.set_model_props(model, metadata)
    return model


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def _check_sizes(
    architecture: Architecture, sizes: Mapping[str, int], sequence_length: int | None
) -> None:
    """Refuse sequences without positions, and a model that is too large for one file."""
    if sequence_length is not None and sequence_length > sizes["positions"]:
        raise InputError(
            f"Sequences of {sequence_length} do not fit into {sizes['positions']} positions: "
            "shorten them, or build with more positions."
        )
    if 4 * architecture.parameters(**sizes) > _LARGEST_BYTES:
        raise InputError(
            f"{architecture} has {architecture.parameters(**sizes):,} parameters, too many for "
            "an ONNX file, which ends at 2 GiB: make it smaller."
        )


def _check_weights(
    weights: Mapping[str, npt.NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    for name, shape in shapes.items():
        if name not in weights:
            raise InputError(
                f"The weights have no {name!r}: give a model with embeddings, encoder and pooler, "
                "named as transformers' BertModel names them."
            )
        if weights[name].shape != shape:
            raise InputError(
                f"The weight {name!r} has shape {weights[name].shape} and the architecture wants "
                f"{shape}: check layers, sizes and vocabulary."
            )


def _head_shapes(head: Head | None, weights: Weights, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of a head, which tell themselves how many labels there are."""
    if head is None:
        return {}
    name = "classifier" if head == "classification" else "qa_outputs"
    outputs = 2 if head == "qa" else len(weights.get(f"{name}.bias", ()))
    return {f"{name}.weight": (outputs, hidden), f"{name}.bias": (outputs,)}


def _outputs(
    architecture: Architecture, head: Head | None, axes: Axes, weights: Weights
) -> dict[str, tuple[str | int, ...]]:
    """Shapes of the outputs by name."""
    if head == "classification":
        return {"logits": (axes[0], len(weights["classifier.bias"]))}
    if head == "qa":
        return {"start_logits": axes, "end_logits": axes}
    hidden = architecture.hidden
    return {"last_hidden_state": (*axes, hidden), "pooler_output": (axes[0], hidden)}


def _add_model(graph: _Graph, architecture: Architecture, head: Head | None) -> None:
    """Embeddings, layers and head (Devlin et al. 2019: norms come after the sums)."""
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = graph.add(
        "Gather", graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"
    )
    length = graph.add("Shape", "input_ids", start=1, end=2)
    table = graph.weight("embeddings.position_embeddings.weight")
    places = graph.add("Slice", table, graph.integers(0), length, graph.integers(0))
    summed = graph.add("Add", graph.add("Add", words, types), places)
    hidden = graph.norm(summed, "embeddings.LayerNorm")

    # 0 for real tokens and the lowest number for padding, added to the scores: [B, 1, 1, S]
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = graph.add("Unsqueeze", mask, graph.integers(1, 2))
    padding = graph.add("Sub", graph.scalar(1.0), mask)
    bias = graph.add("Mul", padding, graph.scalar(float(np.finfo(np.float32).min)))

    for layer in range(architecture.layers):
        prefix = f"encoder.layer.{layer}"
        context = _add_attention(graph, architecture, f"{prefix}.attention", hidden, bias)
        hidden = graph.norm(
            graph.add("Add", context, hidden), f"{prefix}.attention.output.LayerNorm"
        )
        inner = graph.add("Gelu", graph.linear(hidden, f"{prefix}.intermediate.dense"))
        outer = graph.linear(inner, f"{prefix}.output.dense")
        last = layer == architecture.layers - 1
        hidden = graph.norm(
            graph.add("Add", outer, hidden),
            f"{prefix}.output.LayerNorm",
            output="last_hidden_state" if last else None,
        )

    if head == "qa":
        answers = graph.linear(hidden, "qa_outputs")  # [B, S, 2]
        for place, name in enumerate(("start_logits", "end_logits")):
            graph.add("Gather", answers, graph.index(place), axis=-1, output=name)
        return
    first = graph.add("Gather", hidden, graph.index(0), axis=1)  # [B, H]
    pooled = graph.add("Tanh", graph.linear(first, "pooler.dense"), output="pooler_output")
    if head == "classification":
        graph.linear(pooled, "classifier", output="logits")


def _add_attention(
    graph: _Graph, architecture: Architecture, prefix: str, hidden: str, bias: str
) -> str:
    """Multi-head attention [B, S, H] -> [B, S, H], of a query width that is free of H."""
    heads, size = architecture.heads, architecture.head_size
    split = graph.integers(0, 0, heads, size)  # a zero keeps the dimension: any batch and length

    def project(part: str, order: Sequence[int]) -> str:
        projected = graph.linear(hidden, f"{prefix}.self.{part}")
        return graph.add("Transpose", graph.add("Reshape", projected, split), perm=order)

    query = project("query", (0, 2, 1, 3))  # [B, A, S, D]
    key = project("key", (0, 2, 3, 1))  # [B, A, D, S]
    value = project("value", (0, 2, 1, 3))  # [B, A, S, D]
    scores = graph.add("MatMul", query, key)  # [B, A, S, S]
    scores = graph.add("Mul", scores, graph.scalar(1 / math.sqrt(size)))
    shares = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
    context = graph.add("Transpose", graph.add("MatMul", shares, value), perm=(0, 2, 1, 3))
    joined = graph.add("Reshape", context, graph.integers(0, 0, architecture.qkv))  # [B, S, Q]
    return graph.linear(joined, f"{prefix}.output.dense")


class _Graph:
    """Collects nodes and constants; the values between nodes are known by name."""

    def __init__(
        self, weights: Mapping[str, npt.NDArray[np.float32]], layer_norm_epsilon: float
    ) -> None:
        self._weights = weights
        self._epsilon = layer_norm_epsilon
        # filled in place: the helpers that assemble a graph copy all weights twice
        self._model = onnx.ModelProto(
            ir_version=_IR_VERSION,
            producer_name="autotinybert",
            opset_import=[helper.make_opsetid("", OPSET)],
        )
        self._model.graph.name = "small-bert"
        self._constants: set[str] = set()

    def add(
        self,
        operator: str,
        *inputs: str,
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node; the name of its output."""
        nodes = self._model.graph.node
        name = f"{operator}_{len(nodes)}"
        output = output or f"{name}_output"
        nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def linear(self, values: str, name: str, *, output: str | None = None) -> str:
        """Multiply by a constant matrix and add a bias.

        MatMul and Add rather than Gemm, which takes two dimensions only and which dynamic
        quantisation passes over.
        """
        product = self.add("MatMul", values, self.weight(f"{name}.weight", transpose=True))
        return self.add("Add", product, self.weight(f"{name}.bias"), output=output)

    def norm(self, values: str, name: str, *, output: str | None = None) -> str:
        """Normalise over the hidden dimension."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add(
            "LayerNormalization",
            values,
            scale,
            bias,
            output=output,
            axis=-1,
            epsilon=self._epsilon,
        )

    def weight(self, name: str, *, transpose: bool = False) -> str:
        """Put a weight into the graph; stored as [in, out] with `transpose`."""
        array = self._weights[name]
        return self._constant(name, array.T if transpose else array, np.float32)

    def scalar(self, value: float) -> str:
        """A float constant without dimensions."""
        return self._constant(f"scalar_{value:.9g}", np.asarray(value), np.float32)

    def index(self, value: int) -> str:
        """An integer constant without dimensions."""
        return self._constant(f"index_{value}", np.asarray(value), np.int64)

    def integers(self, *values: int) -> str:
        """A list of integers."""
        name = "integers_" + "_".join(str(value) for value in values)
        return self._constant(name, np.asarray(values), np.int64)

    def _constant(
        self, name: str, array: npt.NDArray[np.generic], dtype: type[np.float32 | np.int64]
    ) -> str:
        if name not in self._constants:
            # ONNX wants little-endian bytes whatever the machine
            content = np.asarray(array, dtype=np.dtype(dtype).newbyteorder("<"), order="C")
            self._model.graph.initializer.add(
                name=name,
                data_type=TensorProto.FLOAT if dtype is np.float32 else TensorProto.INT64,
                dims=array.shape,
                raw_data=content.tobytes(),
            )
            self._constants.add(name)
        return name

    def finish(self, axes: Axes, outputs: Mapping[str, tuple[str | int, ...]]) -> onnx.ModelProto:
        """Close the graph over batch and sequence, each a number or the name of a free axis."""
        graph = self._model.graph
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, axes))
        for name, shape in outputs.items():
            graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self._model
