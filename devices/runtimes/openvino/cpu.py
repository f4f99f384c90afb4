"""OpenVINO on a CPU."""

from __future__ import annotations

from pathlib import Path

from atb.devices import Artefact, RunSettings
from atb.devices.runtimes import LibraryRuntime, describe_artefact
from atb.devices.runtimes.onnxruntime import build_onnx
from atb.models import Architecture

__all__ = ["OpenVinoCpu"]


class OpenVinoCpu(LibraryRuntime):
    """Serves ONNX graphs, which OpenVINO reads itself and plans for the processor in fp32."""

    name = "openvino"
    # Its own int8 wants ranges of activations that were fixed beforehand. Our int8 graph, which
    # finds them at each inference, computes its products in fp32 here, slower than the fp32 graph.
    precisions = ("fp32",)
    distributions = ("openvino",)
    extra = "openvino"
    tells_operators = True

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the graph of `OnnxRuntimeCpu`."""
        return describe_artefact(build_onnx(architecture, settings, folder))
