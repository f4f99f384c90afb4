"""Runs ONNX files in OpenVINO; it is sent to devices, and needs nothing of this package."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atb.devices.worker.core import Arrays, Input, ModelClass, ModelFile, Operator


class OpenVinoModel:
    """A model in OpenVINO on the CPU, in the precision that was asked for.

    Its default is the fastest precision that the processor has, bf16 on new ones. An inference is
    computed by the thread that calls, and by others of the library where there shall be several.
    Streams have a copy of the plan each, and threads of their own.
    """

    library = "openvino"

    def __init__(self, file: ModelFile) -> None:
        import openvino

        self.builds = {"openvino": openvino.get_version()}
        self._file = file
        self._threads = file.settings["threads"]
        self._streams = file.settings.get("streams", 1)
        self._core = openvino.Core()
        # Of any batch and length, as the deployed model is; reshaped to one length it would be
        # planned a little better, and serve that length alone.
        self._model = self._core.read_model(file.path)
        place = ["framework", "vocabulary_size"]
        told = self._model.has_rt_info(place)
        self.vocabulary_size = self._model.get_rt_info(place).value if told else None
        self.inputs = [_input(node) for node in self._model.inputs]
        compiled = self._compile()
        self.providers = self._check(compiled)
        # a request serves one thread at a time
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self._streams):
            self._idle.put(compiled.create_infer_request())

    def feed(self, arrays: Arrays) -> None:
        """Take what the model is run on."""
        self._arrays = arrays

    def _compile(self, **more: Any) -> Any:
        wanted = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self._threads * self._streams,
            "NUM_STREAMS": self._streams,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the process is where it was told to be
        }
        return self._core.compile_model(self._model, "CPU", {**wanted, **more})

    def _check(self, compiled: Any) -> tuple[str, ...]:
        """What computes, once it is known to be what was asked for."""
        nodes = compiled.get_runtime_model().get_ops()
        kinds = {str(node.get_rt_info()["runtimePrecision"].value) for node in nodes}
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if precision != "f32" or (kinds := kinds & {"bf16", "f16"}):
            came = ", ".join(sorted(kinds)) or precision
            raise self._file.failure(f"f32 was asked for and {came} came")
        # more streams than there are processors take turns
        streams = compiled.get_property("NUM_STREAMS")
        threads = compiled.get_property("INFERENCE_NUM_THREADS") / streams
        if threads != self._threads or streams > self._streams:
            wanted = f"{self._threads} threads for each of {self._streams} streams"
            came = f"{threads:g} for each of {streams}"
            raise self._file.failure(f"{wanted} were asked for and {came} came")
        return tuple(f"{name} {precision}" for name in compiled.get_property("EXECUTION_DEVICES"))

    def __call__(self) -> Any:
        """Run once; returns the last hidden state."""
        request = self._idle.get()
        try:
            outputs = request.infer(self._arrays, share_inputs=True)  # the outputs are copied
        finally:
            self._idle.put(request)
        return outputs[0]

    def operators(self, iterations: int) -> list[Operator]:
        """What each node of the plan takes, after one run of warm-up."""
        request = self._compile(PERF_COUNT=True).create_infer_request()
        times: dict[tuple[str, str], list[float]] = {}
        for iteration in range(1 + iterations):
            request.infer(self._arrays)
            for node in request.get_profiling_info() if iteration else ():
                taken = times.setdefault((node.node_type, node.node_name), [])
                taken.append(node.real_time.total_seconds() * 1e6)
        # one that takes less than a microsecond is told as one that does not run
        return [(*node, sum(taken), len(taken)) for node, taken in times.items() if any(taken)]


_TYPES = {
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "f16": "float16",
    "f32": "float",
    "f64": "double",
    "boolean": "bool",
}


def _input(node: Any) -> Input:
    """An input of OpenVINO's model."""
    kind = node.element_type.get_type_name()
    shape: list[Any] = []
    if node.partial_shape.rank.is_static:
        shape = [axis.get_length() if axis.is_static else str(axis) for axis in node.partial_shape]
    return node.any_name, f"tensor({_TYPES.get(kind, kind)})", shape


RUNTIMES: dict[str, ModelClass] = {"openvino": OpenVinoModel}
