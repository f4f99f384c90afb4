"""Runs programs of ExecuTorch; it is sent to devices, and needs nothing of this package."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atb.devices.worker.core import Arrays, ModelClass, ModelFile


class ExecuTorchModel:
    """A program of ExecuTorch whose matrix products run in XNNPACK.

    Its runtime takes and gives PyTorch's tensors in Python. Threads are those of one pool of the
    process, to which loaded programs hold on, so that all of a worker's have as many. Streams take
    turns: a method has one memory for what lies between its operators.
    """

    library = "executorch.runtime"
    inputs = None  # those of a BERT
    _loaded = False  # whether any program is

    def __init__(self, file: ModelFile) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime
        from executorch.version import __version__

        torch.set_num_threads(1)  # it computes nothing here
        cls, settings = type(self), file.settings
        wanted = settings["threads"]
        if not cls._loaded:  # later it would take the threads away from those that are loaded
            portable_lib._unsafe_reset_threadpool(wanted)
        threads = portable_lib._threadpool_get_thread_count()
        if threads != wanted:
            raise file.failure(f"ExecuTorch has {threads} threads in this worker, not {wanted}")
        runtime = Runtime.get()
        if not runtime.backend_registry.is_available(_XNNPACK):
            raise file.failure("this build of ExecuTorch has no XNNPACK")
        content = Path(file.path).read_bytes()
        if _XNNPACK.encode() not in content:  # where a program names what it delegates to
            raise file.failure("the program delegates nothing to XNNPACK")
        self._program = runtime.load_program(content)
        self._file = file
        self.vocabulary_size = self._tell("vocabulary_size")
        bits, precision = self._tell("weight_bits"), settings["precision"]
        if bits != _WEIGHT_BITS[precision]:
            raise file.failure(f"the program's matrices have {bits} bits, which is not {precision}")
        shape = settings["batch"], settings["sequence_length"]
        found = tuple(self._program.metadata("forward").input_tensor_meta(0).sizes())
        if found != shape:
            raise file.failure(f"the program is for the shape {found}, not {shape}")
        cls._loaded = True
        self._forward = self._program.load_method("forward")
        self._turn = threading.Lock()
        self.builds = {"executorch": __version__, "torch": torch.__version__}
        self.providers = (f"{_XNNPACK} {precision}", "kernels of ExecuTorch")

    def feed(self, arrays: Arrays) -> None:
        """Take what the model is run on."""
        import torch

        self._arrays = [torch.from_numpy(values) for values in arrays.values()]

    def _tell(self, name: str) -> int:
        """A number that the program holds."""
        if name not in self._program.method_names:
            raise self._file.failure(f"the program does not tell its {name}: build it again")
        number: int = self._program.load_method(name).execute([])[0]
        return number

    def __call__(self) -> Any:
        """Run once; returns the last hidden state."""
        with self._turn:
            return self._forward.execute(self._arrays)[0].numpy()


_XNNPACK = "XnnpackBackend"
_WEIGHT_BITS = {"fp32": 32, "int8": 8}


RUNTIMES: dict[str, ModelClass] = {"executorch": ExecuTorchModel}
