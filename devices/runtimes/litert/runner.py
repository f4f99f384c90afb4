"""Runs TFLite files in LiteRT; it is sent to devices, and needs nothing of this package."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from atb.devices.worker.core import Arrays, Input, ModelClass, ModelFile


class LiteRtModel:
    """A TFLite model in LiteRT on the CPU, whose matrix products XNNPACK must have taken.

    An interpreter serves one call at a time, so there is one for each stream, with its own copy
    of the weights in the layout of XNNPACK: LiteRT shares none between them.
    """

    library = "ai_edge_litert.interpreter"

    def __init__(self, file: ModelFile) -> None:
        import ai_edge_litert
        from ai_edge_litert.interpreter import Interpreter

        self.builds = {"ai-edge-litert": getattr(ai_edge_litert, "__version__", "unknown")}
        self.providers: tuple[str, ...] = ()
        self._file = file
        self._interpreters = [
            Interpreter(model_path=file.path, num_threads=file.settings["threads"])
            for _ in range(file.settings.get("streams", 1))
        ]
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        first = self._interpreters[0]
        tables = [
            int(tensor["shape"][0])
            for tensor in first.get_tensor_details()
            if tensor["name"] == _TABLE
        ]
        self.vocabulary_size = tables[0] if tables else None
        found = _inputs_of(first)
        self._places = {name: int(tensor["index"]) for name, tensor in found.items()}
        self.inputs: list[Input] = [
            (
                name,
                f"tensor({_TYPES.get(tensor['dtype'], np.dtype(tensor['dtype']).name)})",
                [None if size < 0 else int(size) for size in tensor["shape_signature"]],
            )
            for name, tensor in found.items()
        ]
        self._output = first.get_output_details()[0]["index"]

    def feed(self, arrays: Arrays) -> None:
        """Take what the model is run on, whose shapes its free axes are given."""
        self._arrays = arrays
        if self.providers:
            return
        for interpreter in self._interpreters:
            for name, _, sizes in self.inputs:
                if None in sizes:
                    interpreter.resize_tensor_input(self._places[name], arrays[name].shape)
            interpreter.allocate_tensors()
            self.providers = providers_of(interpreter._get_ops_details(), self._file)
            self._free.put(interpreter)

    def __call__(self) -> Any:
        """Run once; returns the last hidden state."""
        interpreter = self._free.get()
        try:
            for name, values in self._arrays.items():
                interpreter.set_tensor(self._places[name], values)
            interpreter.invoke()
            return interpreter.get_tensor(self._output)
        finally:
            self._free.put(interpreter)


_TYPES = {np.float32: "float", np.float64: "double", np.bool_: "bool"}
#: Whose rows are as many as our graphs know tokens; an interpreter does not show their metadata.
_TABLE = "embeddings.word_embeddings.weight"
_PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D")


def _inputs_of(interpreter: Any) -> dict[str, Any]:
    """Details of the inputs by name, that of the signature where the model has just one."""
    if len(interpreter.get_signature_list()) == 1:
        inputs: dict[str, Any] = interpreter.get_signature_runner().get_input_details()
        return inputs
    return {tensor["name"]: tensor for tensor in interpreter.get_input_details()}


def providers_of(operators: list[dict[str, Any]], file: ModelFile) -> tuple[str, ...]:
    """What runs the operators of a model, of which XNNPACK must run every matrix product.

    LiteRT lists what the model has, and after it each group that a delegate took, as one more
    operator. Which belong to a group shows from the end on: what makes a tensor that a group hands
    out, or one that is used within it and not handed in.
    """
    groups = [o for o in operators if o["op_name"] == "DELEGATE"]
    listed = [o for o in operators if o["op_name"] != "DELEGATE"]
    handed_in = {int(tensor) for group in groups for tensor in group["inputs"]}
    within = {int(tensor) for group in groups for tensor in group["outputs"]}
    left = []
    for operator in reversed(listed):
        if within.isdisjoint(map(int, operator["outputs"])):
            left.append(operator["op_name"])
        else:
            within.update({int(tensor) for tensor in operator["inputs"]} - handed_in)
    products = sorted({name for name in left if name in _PRODUCTS})
    if products or not groups:
        what = ", ".join(products) or "any operator"
        raise file.failure(f"XNNPACK did not take {what}; it wants fixed shapes")
    kinds = {
        np.dtype(operator["operand_types"][1]).name
        for operator in listed
        if operator["op_name"] == "FULLY_CONNECTED"
    }
    weights = " and ".join(sorted(kinds))
    if file.settings["precision"] == "int8" and weights != "int8":
        raise file.failure(f"the products have {weights or 'no'} weights, and int8 was asked for")
    told = [f"XNNPACK {len(listed) - len(left)} of {len(listed)} operators"]
    if weights:
        told.append(f"{weights} weights")
    if left:
        told.append(f"LiteRT {' and '.join(sorted(set(left)))}")
    return tuple(told)


RUNTIMES: dict[str, ModelClass] = {"litert": LiteRtModel}
