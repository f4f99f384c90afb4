"""Models as other people export them: small ONNX graphs with inputs and outputs of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

FREE = ("batch", "sequence")
WIDTH = 4
#: An input: its element type, and its shape with names for free axes.
Input = tuple[int, Sequence[Any]]
TOKENS: Input = (TensorProto.INT64, FREE)


def write_model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Input],
    outputs: Mapping[str, Any],
    weights: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a graph; an output of a plain element type has any shape."""
    values = [
        onnx.ValueInfoProto(name=name, type=told)
        if isinstance(told, onnx.TypeProto)
        else helper.make_tensor_value_info(name, told, None)
        for name, told in outputs.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "foreign",
        [helper.make_tensor_value_info(name, *told) for name, told in inputs.items()],
        values,
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def write_embedding(
    path: Path,
    inputs: Mapping[str, Input] | None = None,
    *,
    vocabulary: int = 1000,
    tables: Mapping[str, int] | None = None,
) -> Path:
    """A graph that looks up the tokens of its first input and adds the sum of all others.

    Args:
        path: Where to.
        inputs: By name; the first are tokens.
        vocabulary: Rows of its table of words.
        tables: Inputs that are looked up as well, with the rows of their tables.
    """
    inputs = inputs or {"input_ids": TOKENS}
    first, *others = inputs
    rows = {first: vocabulary, **(tables or {})}
    weights = {
        f"table_{name}": np.random.default_rng(i).normal(size=(count, WIDTH)).astype(np.float32)
        for i, (name, count) in enumerate(rows.items())
    }
    nodes, terms = [], []
    for name in (first, *others):
        if name in rows:
            nodes.append(helper.make_node("Gather", [f"table_{name}", name], [f"found_{name}"]))
        else:
            nodes.append(helper.make_node("Cast", [name], [f"found_{name}"], to=TensorProto.FLOAT))
        total = f"total_{name}"
        nodes.append(helper.make_node("ReduceSum", [f"found_{name}"], [total], keepdims=0))
        terms.append(total)
    nodes.append(helper.make_node("Sum", [*terms], ["total"]))
    nodes.append(helper.make_node("Add", [f"found_{first}", "total"], ["output"]))
    return write_model(path, nodes, inputs, {"output": TensorProto.FLOAT}, weights)


def keep_outside(path: Path, locations: Callable[[str], str] = lambda _: "weights.bin") -> Path:
    """Move the weights of a graph to files beside it, as exporters do of large ones.

    Args:
        path: Of the graph, which is written again.
        locations: Where each weight goes, by its name.
    """
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        content = numpy_helper.to_array(tensor).tobytes()
        location = locations(tensor.name)
        file = path.parent / location
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as opened:
            offset = opened.tell()
            opened.write(content)
        set_location(tensor, location, offset=offset, length=len(content))
    path.write_bytes(model.SerializeToString())
    return path


def set_location(tensor: TensorProto, location: str, **entries: Any) -> None:
    """Say that a tensor lies elsewhere."""
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.ClearField("external_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))


def as_hugging_face_keeps_it(folder: Path, model: Path, *names: str) -> Path:
    """Move the files of a model to blobs and hand back the graph among links to them."""
    snapshot = folder / "snapshots" / "0123"
    for number, name in enumerate((model.name, *names)):
        blob, link = folder / "blobs" / f"{number:040d}", snapshot / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        (model.parent / name).rename(blob)
        link.symlink_to(Path(*[".."] * (2 + name.count("/")), "blobs", blob.name))
    return snapshot / model.name


def settings_of(**changes: Any) -> dict[str, Any]:
    """What a worker is told of how a model is run."""
    told: dict[str, Any] = {"threads": 1, "batch": 2, "sequence_length": 8, "precision": "fp32"}
    return json.loads(json.dumps({**told, **changes}))  # type: ignore[no-any-return]
