"""onnxruntime on a CPU, from its own file format, which is what its small mobile builds read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from atb.devices import Artefact, LaunchFailure, RunSettings
from atb.devices.runtimes import describe_artefact, translate_build_errors
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu, build_onnx
from atb.devices.runtimes.onnxruntime.ort_format import in_order
from atb.files import atomic_path
from atb.models import Architecture

__all__ = ["OnnxRuntimeOrt", "convert"]


class OnnxRuntimeOrt(OnnxRuntimeCpu):
    """Serves `.ort` files: the graph as it was after optimisation, which is loaded as it is."""

    name = "onnxruntime-ort"

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        """Write the graph of `OnnxRuntimeCpu`, of free shapes like that, as an `.ort` file."""
        path = folder / f"{architecture}.{settings.precision}.ort"
        with (
            translate_build_errors(architecture),
            tempfile.TemporaryDirectory(dir=folder) as temporary,
        ):
            convert(build_onnx(architecture, settings, Path(temporary)), path)
        return describe_artefact(path)


def convert(source: Path, target: Path) -> None:
    """Write an ONNX file as an `.ort` file that every processor loads; same file, same bytes.

    It is what `onnxruntime.tools.convert_onnx_models_to_ort` does in the style `Fixed`, which
    prints, leaves a list of operators behind and imports PyTorch. Its level `all` also lays data
    out for the processor that converts, if that is an x86 one; `extended` is the highest level
    without. It fuses the same operators of a BERT, with kernels that onnxruntime has for x86 and
    ARM alike.

    Raises:
        LaunchFailure: With cause `build-error`: onnxruntime does not load or convert the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    with atomic_path(target) as temporary:
        options.optimized_model_filepath = str(temporary)
        try:
            onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own
            raise LaunchFailure("build-error", f"{target.name}: {error}") from error
        temporary.write_bytes(in_order(temporary.read_bytes()))
