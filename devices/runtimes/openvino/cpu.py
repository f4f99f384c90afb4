"""OpenVINO on a CPU."""

from __future__ import annotations

from pathlib import Path

from atb.devices import RunSettings
from atb.devices.runtimes import LibraryRuntime
from atb.devices.runtimes.onnxruntime import write_onnx
from atb.models import Architecture


class OpenVinoCpu(LibraryRuntime):
    """Serves ONNX graphs, which OpenVINO reads itself and plans for the processor in fp32."""

    name = "openvino"
    # Its own int8 wants ranges of activations that were fixed beforehand. Our int8 graph, which
    # finds them at each inference, computes its products in fp32 here, slower than the fp32 graph.
    precisions = ("fp32",)
    distributions = ("openvino",)
    extra = "openvino"
    file_name = "{architecture}.{settings.precision}.onnx"
    tells_operators = True

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Write the graph of `OnnxRuntimeCpu`."""
        write_onnx(architecture, settings, path)
