"""Graphs of one architecture that differ in weights, vocabulary, shapes or inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from atb.devices.runtimes.reference import TIMING_VOCABULARY
from atb.devices.worker.core.inputs import make_inputs
from atb.models.architecture import Architecture
from atb.models.onnx_builder import build_graph
from atb.models.superplm.bundled import load_superplm
from atb.models.weights import random_weights

FULL_VOCABULARY = 30_522
#: Any batch and length, as the graphs have them that are timed and deployed.
FREE: dict[str, Any] = {"sequence_length": None, "batch": None}
TINY = np.float32(1e-39)  # denormal: the smallest normal float32 is 1.2e-38

Weights = dict[str, npt.NDArray[np.float32]]


def trained_weights(architecture: Architecture) -> Weights:
    """As the exported model has them."""
    encoder = load_superplm("mini").extract(architecture, None).base_model
    return {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}


def one_by_one(architecture: Architecture) -> dict[str, Callable[[], onnx.ModelProto]]:
    """Graphs that differ from the timing graph in one thing each, and in all."""
    weights = trained_weights(architecture)
    short = {**weights}
    table = "embeddings.word_embeddings.weight"
    short[table] = weights[table][:TIMING_VOCABULARY]
    whole = {"vocabulary_size": FULL_VOCABULARY}
    return {
        "the same file again": lambda: build_graph(architecture, **FREE),
        "whole vocabulary": lambda: build_graph(architecture, **whole, **FREE),
        "trained weights": lambda: build_graph(architecture, weights=short, **FREE),
        "both": lambda: build_graph(architecture, weights=weights, **whole, **FREE),
        "fixed shapes": lambda: build_graph(architecture),
        "fixed batch, free length": lambda: build_graph(architecture, sequence_length=None),
    }


def with_inputs(model: onnx.ModelProto, **values: npt.NDArray[np.int64]) -> onnx.ModelProto:
    """A graph that computes on inputs of its own, whatever it is fed.

    Each input is multiplied by zero and the values added, so that nothing can be computed ahead;
    they are cut to the input's length, so that it stays free and the runtime makes the same graph.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    nodes = list(graph.node)
    constants = {"own_zero": np.array(0), "own_start": np.array([0]), "own_axis": np.array([1])}
    for name, content in constants.items():
        graph.initializer.append(numpy_helper.from_array(content, name))
    first = []
    for name, array in values.items():
        own = f"own_{name}"
        for node in nodes:
            node.input[:] = [own if found == name else found for found in node.input]
        graph.initializer.append(numpy_helper.from_array(array, f"{own}_all"))
        cut = [f"{own}_all", "own_start", f"{own}_length", "own_axis"]
        first += [
            helper.make_node("Shape", [name], [f"{own}_length"], start=1, end=2),
            helper.make_node("Slice", cut, [f"{own}_values"]),
            helper.make_node("Mul", [name, "own_zero"], [f"{own}_zeros"]),
            helper.make_node("Add", [f"{own}_zeros", f"{own}_values"], [own]),
        ]
    del graph.node[:]
    graph.node.extend([*first, *nodes])
    return changed


def products(weights: Mapping[str, Any]) -> Iterator[str]:
    """Names of the matrices of products."""
    yield from (name for name in weights if name.endswith(".weight") and "embed" not in name.lower()
                and "LayerNorm" not in name)  # fmt: skip


def weights_with(
    architecture: Architecture, value: np.float32, share: float, norm: np.float32 | None = None
) -> Weights:
    """Random weights, a share of those of products about as small as a value.

    They are not all the same, since a runtime finds out that two matrices are equal.

    Args:
        architecture: The shape.
        value: Their largest size.
        share: Of the weights of products.
        norm: Scales of the norms, which then have no bias, and nothing else has; None leaves them.
    """
    rng = np.random.default_rng(1)
    weights = random_weights(
        architecture, np.random.default_rng(0), vocabulary_size=TIMING_VOCABULARY
    )
    for name in products(weights):
        small = rng.random(weights[name].shape) < share
        weights[name][small] = value * rng.uniform(-1, 1, int(small.sum())).astype(np.float32)
    if norm is not None:
        for name, values in weights.items():
            if name.endswith(".bias"):
                values[:] = 0
            elif "LayerNorm" in name:
                values[:] = norm
    return weights


def classes_of(architecture: Architecture) -> dict[str, Callable[[], onnx.ModelProto]]:
    """Weights and inputs that might be slower."""
    usual = make_inputs(TIMING_VOCABULARY, 1, 128)

    def weighed(value: np.float32, share: float, norm: np.float32 | None = None) -> Any:
        return lambda: with_inputs(
            build_graph(
                architecture, weights=weights_with(architecture, value, share, norm), **FREE
            ),
            **usual,
        )

    def fed(**changed: npt.NDArray[np.int64]) -> Any:
        return lambda: with_inputs(build_graph(architecture, **FREE), **{**usual, **changed})

    padded = {n: np.where(np.arange(128) < n, 1, 0)[None].astype(np.int64) for n in (1, 64)}
    some = np.random.default_rng(2).integers(TIMING_VOCABULARY, size=(1, 128))
    return {
        "the same again": fed(),
        "one denormal weight in 1,000": weighed(TINY, 0.001),
        "one denormal weight in 100": weighed(TINY, 0.01),
        "one denormal weight in 10": weighed(TINY, 0.1),
        "all weights of products denormal": weighed(TINY, 1.0),
        "all weights of products zero": weighed(np.float32(0), 1.0),
        "denormal activations": weighed(TINY, 0.0, TINY),
        "half of the sequence padded": fed(attention_mask=padded[64]),
        "all but one token padded": fed(attention_mask=padded[1]),
        "one token repeated": fed(input_ids=np.full((1, 128), 7)),
        "tokens at random": fed(input_ids=some),
        "two segments": fed(token_type_ids=np.repeat([[0, 1]], 64, axis=1)),
    }
