"""Build an ncnn network of a small BERT directly, without torch and without ncnn's converters.

A network of ncnn is two files: `.param`, lines of text that say which layers there are, and `.bin`,
their weights. Here they are one file, so that an artefact is one: the weights first, so that ncnn
itself reads the file as its `.bin`, then the text, then what a reader must know (`NcnnNetwork`).

The network differs from the ONNX graph of the same weights where ncnn leaves no choice:

- one sequence at a time, since there is no batch;
- numbers of tokens, segments and positions are int32, and positions are an input, since there is
  no arithmetic on integers;
- the mask is what is added to the scores, for the same reason: float32 [sequence, sequence];
- attention is one layer, as ncnn's own converter makes it.

Sequences may have any length up to the positions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from atb.files import atomic_path
from atb.models import Architecture, Weights

#: The inputs of every network: three of int32 [sequence] and the mask, float32
#: [sequence, sequence], which is zero or the lowest number for padding.
INPUTS = ("input_ids", "token_type_ids", "position_ids", "attention_mask")

_FORMAT = 1  # of the file: weights, text, JSON, length of the JSON in eight bytes
_MAGIC = "7767517"  # of ncnn's text format
_LAYER_NORM_EPSILON = 1e-12  # added to variances, as BERT does
_FLOAT32 = bytes(4)  # what precedes weights of these types
_INT8 = (0x000D4B38).to_bytes(4, "little")
_LARGEST_INT8 = 127


@dataclass(frozen=True, slots=True)
class NcnnNetwork:
    """A network in the parts of its file.

    Attributes:
        param: Text of the layers.
        weights: Their weights, in the order of the layers.
        facts: What a reader must know: `format`, `architecture`, `precision`, `vocabulary_size`.
    """

    param: str
    weights: bytes
    facts: Mapping[str, str | int]


def build_network(architecture: Architecture, weights: Weights, precision: str) -> NcnnNetwork:
    """Build embeddings, encoder and pooler from ncnn's layers.

    Inputs are `INPUTS`; outputs are `last_hidden_state` [sequence, hidden] and `pooler_output`
    [1, hidden], float32.

    Args:
        architecture: The shape of the model.
        weights: By the names of `weights_shapes`, in torch's convention [out, in].
        precision: `fp32`, or `int8`, which stores the matrices of all products in eight bits; ncnn
            quantises what they are multiplied with at each inference (dynamic). Embeddings stay in
            fp32.
    """
    network = _Network(weights, quantised=precision == "int8")
    _add_model(network, architecture)
    facts: dict[str, str | int] = {
        "format": _FORMAT,
        "architecture": str(architecture),
        "precision": precision,
        "vocabulary_size": len(weights["embeddings.word_embeddings.weight"]),
    }
    return network.finish(facts)


def save_network(network: NcnnNetwork, path: Path) -> None:
    """Write a network into one file, whole or not at all."""
    param = network.param.encode("ascii")
    sizes = {"weights_bytes": len(network.weights), "param_bytes": len(param)}
    facts = json.dumps({**network.facts, **sizes}, sort_keys=True).encode("ascii")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(network.weights)
        file.write(param)
        file.write(facts)
        file.write(len(facts).to_bytes(8, "little"))


def _add_model(network: _Network, architecture: Architecture) -> None:
    """Embeddings, layers and pooler (Devlin et al. 2019: norms come after the sums)."""
    tokens, segments, places, mask = (network.add("Input", outputs=[name])[0] for name in INPUTS)
    masks = network.copies(mask, architecture.layers)
    words = network.embed(tokens, "embeddings.word_embeddings")
    types = network.embed(segments, "embeddings.token_type_embeddings")
    summed = network.sum(words, types)
    summed = network.sum(summed, network.embed(places, "embeddings.position_embeddings"))
    hidden = network.norm(summed, "embeddings.LayerNorm")

    for layer in range(architecture.layers):
        prefix = f"encoder.layer.{layer}"
        inner, residual = network.copies(hidden, 2)
        attended = network.attention(inner, masks[layer], f"{prefix}.attention", architecture.heads)
        summed = network.sum(attended, residual)
        hidden = network.norm(summed, f"{prefix}.attention.output.LayerNorm")
        inner, residual = network.copies(hidden, 2)
        inner = network.linear(inner, f"{prefix}.intermediate.dense")
        (inner,) = network.add("GELU", inner)  # the exact one, with the error function
        outer = network.linear(inner, f"{prefix}.output.dense")
        hidden = network.norm(network.sum(outer, residual), f"{prefix}.output.LayerNorm")

    _, hidden = network.add("Split", hidden, outputs=["last_hidden_state", "to_the_pooler"])
    # the rows from the first one to before the second one
    (first,) = network.add("Crop", hidden, {9: [0], 10: [1], 11: [0]})
    network.add("TanH", network.linear(first, "pooler.dense"), outputs=["pooler_output"])


Parameter = int | float | list[int]


@dataclass(slots=True)
class _Network:
    """Collects layers and weights; the values between layers are known by name.

    Parameters of layers have numbers in ncnn's text; the comments say which is which.
    """

    source: Weights
    quantised: bool
    layers: list[str] = field(default_factory=list)
    weights: list[bytes] = field(default_factory=list)
    values: int = 0

    def add(
        self,
        kind: str,
        inputs: str | Sequence[str] = (),
        parameters: Mapping[int, Parameter] | None = None,
        *,
        outputs: list[str] | None = None,
    ) -> list[str]:
        """Add a layer; the names of its outputs, one of its own where none are given."""
        inputs = [inputs] if isinstance(inputs, str) else list(inputs)
        name = f"{kind.lower()}_{len(self.layers)}"
        outputs = [name] if outputs is None else outputs
        told = [_tell(key, value) for key, value in (parameters or {}).items()]
        words = [kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, *told]
        self.layers.append(" ".join(words))
        self.values += len(outputs)
        return outputs

    def copies(self, value: str, count: int) -> list[str]:
        """Names for each layer that reads a value, since ncnn lets a name be read only once."""
        return self.add("Split", value, outputs=[f"{value}.{place}" for place in range(count)])

    def sum(self, first: str, second: str) -> str:
        """Add two values."""
        return self.add("BinaryOp", [first, second], {0: 0})[0]  # 0: addition

    def embed(self, numbers: str, name: str) -> str:
        """Rows of a table."""
        table = self.source[f"{name}.weight"]
        rows, width = table.shape
        self._float(f"{name}.weight", typed=True)
        # width, rows, bias, size
        return self.add("Embed", numbers, {0: width, 1: rows, 2: 0, 3: table.size})[0]

    def norm(self, value: str, name: str) -> str:
        """Normalise over the hidden dimension."""
        self._float(f"{name}.weight")
        self._float(f"{name}.bias")
        parameters: dict[int, Parameter] = {
            0: len(self.source[f"{name}.bias"]),
            1: _LAYER_NORM_EPSILON,
        }
        return self.add("LayerNorm", value, parameters)[0]

    def linear(self, value: str, name: str) -> str:
        """Multiply by a constant matrix and add a bias.

        Gemm rather than InnerProduct, which in int8 wants ranges of activations fixed beforehand.
        """
        width, inner = self.source[f"{name}.weight"].shape
        scales = self._matrix(f"{name}.weight", by_row=False)
        self._float(f"{name}.bias", typed=True)
        self.weights.extend(scales)
        parameters: dict[int, Parameter] = {
            3: 1,  # the matrix is stored as [out, in]
            5: 1,  # and constant
            6: 1,  # as is the bias
            8: width,
            9: inner,
            10: 4,  # a bias for each column
        }
        return self.add("Gemm", value, self._quantised(parameters))[0]

    def attention(self, value: str, mask: str, prefix: str, heads: int) -> str:
        """Multi-head attention [S, H] -> [S, H], of a query width that is free of H."""
        qkv, hidden = self.source[f"{prefix}.self.query.weight"].shape
        scales = []
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            scales += self._matrix(f"{prefix}.{part}.weight", by_row=part != "output.dense")
            self._float(f"{prefix}.{part}.bias")
        self.weights.extend(scales)
        parameters: dict[int, Parameter] = {
            0: qkv,
            1: heads,
            2: qkv * hidden,  # size of the query matrix, which tells H
            3: hidden,  # of keys
            4: hidden,  # of values
            5: 1,  # there is a mask
        }
        return self.add("MultiHeadAttention", [value, mask], self._quantised(parameters))[0]

    def _quantised(self, parameters: dict[int, Parameter]) -> dict[int, Parameter]:
        """With the parameter that says so where matrices are in int8, as `ncnn2int8` writes it."""
        return {**parameters, 18: 2} if self.quantised else parameters

    def _float(self, name: str, *, typed: bool = False) -> None:
        """Append a weight in fp32, with the mark of its type where the layer wants one."""
        self.weights.append(_FLOAT32 if typed else b"")
        self.weights.append(np.ascontiguousarray(self.source[name], dtype="<f4").tobytes())

    def _matrix(self, name: str, *, by_row: bool) -> list[bytes]:
        """Append a matrix in the network's precision; in int8 by row, or with one scale for all.

        Returns:
            Its scales, which come later in the file: none in fp32.
        """
        if not self.quantised:
            self._float(name, typed=True)
            return []
        matrix = self.source[name]
        largest = np.abs(matrix).max(axis=1 if by_row else None, keepdims=True)
        scales = np.float32(_LARGEST_INT8) / np.where(largest > 0, largest, 1)
        rounded = np.rint(matrix * scales).astype(np.int8).tobytes()
        self.weights += [_INT8, rounded, bytes(-len(rounded) % 4)]  # ncnn reads whole words
        return [scales.astype("<f4").tobytes()]

    def finish(self, facts: Mapping[str, str | int]) -> NcnnNetwork:
        """Close the network."""
        counts = f"{len(self.layers)} {self.values}"
        param = "\n".join([_MAGIC, counts, *self.layers, ""])
        return NcnnNetwork(param, b"".join(self.weights), facts)


def _tell(key: int, value: Parameter) -> str:
    """A parameter of a layer in ncnn's text; lists have numbers of their own, and their length."""
    if isinstance(value, list):
        return f"{-23300 - key}={len(value)},{','.join(map(str, value))}"
    return f"{key}={value:.9e}" if isinstance(value, float) else f"{key}={value}"
