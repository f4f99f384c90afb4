"""onnxruntime on a GPU of NVIDIA."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from atb.devices.runtimes import RuntimeAbsent, installed_version
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu

_LIBRARY = {"win32": "onnxruntime_providers_cuda.dll"}.get(
    sys.platform, "libonnxruntime_providers_cuda.so"
)


class OnnxRuntimeCuda(OnnxRuntimeCpu):
    """Serves ONNX graphs by the CUDA provider alone: a model of which it lacks a part is refused.

    An inference is a plain `session.run`, from arrays in the machine's memory to one there, so that
    its latency holds the copies to the GPU and back, as a caller's does.
    """

    name = "onnxruntime-cuda"
    # The provider cannot find the ranges of activations, which int8 does at each inference: that
    # part would be computed by the CPU, with copies to and fro.
    precisions = ("fp32",)
    distributions = ("onnxruntime-gpu",)

    @property
    def version(self) -> str:
        """Version of the installed library, read without importing it."""
        spec = find_spec("onnxruntime")  # does not import it
        folders = [] if spec is None else spec.submodule_search_locations or []
        if not any((Path(folder) / "capi" / _LIBRARY).is_file() for folder in folders):
            raise RuntimeAbsent(
                "the installed onnxruntime has no CUDA provider; "
                "run `pip uninstall onnxruntime` and then `pip install onnxruntime-gpu`"
            )
        return installed_version("onnxruntime-gpu", "onnxruntime")
