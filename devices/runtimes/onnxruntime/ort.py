"""onnxruntime on a CPU, from its own file format, which is what its small mobile builds read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from atb.devices import RunSettings
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu, write_onnx
from atb.devices.runtimes.onnxruntime.ort_format import in_order
from atb.models import Architecture


class OnnxRuntimeOrt(OnnxRuntimeCpu):
    """Serves `.ort` files: the graph as it was after optimisation, which is loaded as it is."""

    name = "onnxruntime-ort"
    file_name = "{architecture}.{settings.precision}.ort"

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Write the graph of `OnnxRuntimeCpu`, of free shapes like that, as an `.ort` file."""
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            source = Path(temporary) / "source.onnx"
            write_onnx(architecture, settings, source)
            convert(source, path)


def convert(source: Path, target: Path) -> None:
    """Write an ONNX file as an `.ort` file that every processor loads; same file, same bytes.

    It is what `onnxruntime.tools.convert_onnx_models_to_ort` does in the style `Fixed`, which
    prints, leaves a list of operators behind and imports PyTorch. Its level `all` also lays data
    out for the processor that converts, if that is an x86 one; `extended` is the highest level
    without. It fuses the same operators of a BERT, with kernels that onnxruntime has for x86 and
    ARM alike.

    Raises:
        ValueError: onnxruntime does not load or convert the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.optimized_model_filepath = str(target)
    try:
        onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own
        raise ValueError(f"{source.name}: {error}") from error
    target.write_bytes(in_order(target.read_bytes()))
