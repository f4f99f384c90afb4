"""Runs ONNX and ORT files in onnxruntime; it is sent to devices, and needs nothing of this package.

Where a provider is not there, or leaves operators out, onnxruntime computes them on the CPU and
says nothing. Here either is a load error, since the time would be that of a mixture.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atb.devices.worker.core import Arrays, Input, ModelClass, ModelFile, Operator, WorkerError


class OnnxRuntimeModel:
    """A model in onnxruntime, all of it computed by the provider that was asked for."""

    library = "onnxruntime"
    wanted = "CPUExecutionProvider"
    #: What the provider is told.
    wanted_options: Mapping[str, str] = {}
    #: `ORT` or `ONNX`, where no other format will do.
    file_format: str | None = None

    def __init__(self, file: ModelFile) -> None:
        import onnxruntime

        # the commit and the options that it was built with
        told = getattr(onnxruntime, "get_build_info", lambda: "")()
        self.builds = {"onnxruntime": f"{onnxruntime.__version__} {told}".strip()}
        self._file = file
        self._session = self._open()
        # the session's own list ends with the CPU even where it may compute nothing
        self.providers = (self.wanted,)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.vocabulary_size = metadata.get("vocabulary_size")
        self.inputs: list[Input] = [
            (node.name, node.type, list(node.shape)) for node in self._session.get_inputs()
        ]

    def feed(self, arrays: Arrays) -> None:
        """Take what the model is run on."""
        self._arrays = arrays

    def _open(self, profile: str | None = None) -> Any:
        """A session; one that writes a profile is not for timing."""
        import onnxruntime

        if self.wanted not in onnxruntime.get_available_providers():
            raise self._refusal("CPUExecutionProvider", "this build of onnxruntime lacks it")
        session = onnxruntime.InferenceSession(
            self._file.path,
            self._options(profile),
            providers=[(self.wanted, dict(self.wanted_options))],
            enable_fallback=False,  # else a provider that fails is replaced by the CPU
        )
        came = session.get_provider_options()
        if self.wanted not in came:
            raise self._refusal(", ".join(came), "libraries that it needs do not load here")
        for name, value in self.wanted_options.items():
            got = came[self.wanted].get(name)
            if got != value:
                raise self._file.failure(
                    f"{self.wanted} was asked for with {name}={value} and came with {got}"
                )
        return session

    def _options(self, profile: str | None) -> Any:
        """The options of a session."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._file.settings["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3  # errors only
        # spinning threads would count as busy and disturb other threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self.wanted != "CPUExecutionProvider":
            # otherwise operators that the provider does not have go to the CPU one by one
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if self.file_format is not None:
            options.add_session_config_entry("session.load_model_format", self.file_format)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        return options

    def _refusal(self, came: str, why: str) -> WorkerError:
        return self._file.failure(f"{self.wanted} was asked for and {came} came: {why}")

    def __call__(self) -> Any:
        """Run once; returns the last hidden state."""
        return self._session.run(None, self._arrays)

    def operators(self, iterations: int) -> list[Operator]:
        """What each operator takes, after one run of warm-up."""
        with tempfile.TemporaryDirectory() as folder:
            session = self._open(str(Path(folder) / "profile"))
            for _ in range(1 + iterations):
                session.run(None, self._arrays)
            events = json.loads(Path(session.end_profiling()).read_bytes())
        return read_trace(events)


def read_trace(events: list[dict[str, Any]]) -> list[Operator]:
    """Operators of onnxruntime's trace without its first run; its times are microseconds."""
    warm = min(event["ts"] + event["dur"] for event in events if event["name"] == "model_run")
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event["cat"] == "Node" and "op_name" in event["args"] and event["ts"] >= warm:
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault((event["args"]["op_name"], name), []).append(event["dur"])
    return [(*node, sum(taken), len(taken)) for node, taken in times.items()]


class OnnxRuntimeOrtModel(OnnxRuntimeModel):
    """A model in onnxruntime's own format, which is all that its small mobile builds read."""

    file_format = "ORT"


class OnnxRuntimeCudaModel(OnnxRuntimeModel):
    """A model in onnxruntime on a GPU of NVIDIA."""

    wanted = "CUDAExecutionProvider"
    # its default rounds the factors of fp32 products to ten bits
    wanted_options: Mapping[str, str] = {"use_tf32": "0"}


RUNTIMES: dict[str, ModelClass] = {
    "onnxruntime": OnnxRuntimeModel,
    "onnxruntime-ort": OnnxRuntimeOrtModel,
    "onnxruntime-cuda": OnnxRuntimeCudaModel,
}
