"""PyTorch on a CPU: operator by operator as Python calls them (eager), or compiled."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from atb.devices import RunSettings
from atb.devices.runtimes import LibraryRuntime, RuntimeAbsent
from atb.models import Architecture


class TorchCpu(LibraryRuntime):
    """Serves weights as safetensors; the worker calls PyTorch's operators on them."""

    name = "torch"
    precisions = ("fp32",)
    distributions = ("torch",)
    file_name = "{architecture}.{settings.precision}.safetensors"
    tells_operators = True

    def write(self, architecture: Architecture, settings: RunSettings, path: Path) -> None:
        """Write random weights with a small vocabulary, and how many layers and heads they are."""
        import numpy as np  # not needed to list this runtime, and slow to import
        from safetensors.numpy import save_file

        from atb.devices.runtimes import TIMING_VOCABULARY, timing_weights
        from atb.devices.runtimes.torch.runner import ENCODER_KEY

        weights = timing_weights(architecture, settings)
        sizes = {
            "layers": architecture.layers,
            "heads": architecture.heads,
            "vocabulary_size": TIMING_VOCABULARY,
        }
        # safetensors writes memory as it lies
        arrays = {name: np.ascontiguousarray(values) for name, values in weights.items()}
        # one entry, since several would come in a random order
        save_file(arrays, path, {ENCODER_KEY: json.dumps(sizes)})


class TorchCompiled(TorchCpu):
    """Serves the same file; in the worker `torch.compile` makes C++ of it and compiles that.

    The first launch of a model takes a minute or more; compiled code is kept where PyTorch keeps
    it by default, in a folder of the user's among temporary files, and later launches take seconds.
    """

    name = "torch-compiled"
    #: How much longer than usual loading a model may take.
    load_patience_seconds = 900.0

    @property
    def version(self) -> str:
        """Version of the installed library, read without importing it."""
        version = super().version
        # as PyTorch itself looks for them
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(compiler) is None:
            raise RuntimeAbsent(
                f"torch.compile needs a C++ compiler, and there is no {compiler}; "
                "install one, such as by `apt-get install g++`, or name yours in CXX"
            )
        if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
            raise RuntimeAbsent(
                "torch.compile needs Python's headers, and there is no Python.h; "
                "install them, such as by `apt-get install python3-dev`"
            )
        return version
