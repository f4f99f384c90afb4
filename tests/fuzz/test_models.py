"""ONNX files that arrive damaged are described and loaded, or refused in a sentence."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from foreign import TOKENS, keep_outside, settings_of, write_embedding
from mutation import Reader, check_reader
from onnx import TensorProto

from atb.devices.contract import LaunchFailure
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.runtimes.onnxruntime.runner import RUNTIMES
from atb.devices.settings import RunSettings
from atb.devices.worker.core.interface import WorkerError
from atb.devices.worker.core.worker import Worker
from atb.profiler.campaign.inspection import weight_warnings
from atb.profiler.campaign.scheduler import ArtefactStore
from atb.profiler.record import ModelFile


def samples() -> dict[str, bytes]:
    """A model in one file, and one in two."""
    inputs = {"input_ids": TOKENS, "input.1": TOKENS, "mask": (TensorProto.FLOAT, [1, "s"])}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_embedding(folder / "whole.onnx", inputs, vocabulary=20, tables={"input.1": 2})
        keep_outside(write_embedding(folder / "model.onnx", vocabulary=20))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(path: Path) -> None:
    graph = path if path.suffix == ".onnx" else path.with_name("model.onnx")
    subject = ModelFile.of(graph)
    assert subject.size_bytes >= graph.stat().st_size
    assert subject.precision in ("fp32", "int8")
    assert all(text.endswith(".") for text in weight_warnings(graph))
    # else it is the model's failure, which is recorded
    with (
        ArtefactStore(OnnxRuntimeCpu(), RunSettings()) as store,
        suppress(LaunchFailure, WorkerError),
    ):
        there = store.get(subject).path
        told = Worker(RUNTIMES).do_load("m", str(there), "onnxruntime", settings_of())
        assert told["first_seconds"] > 0


@pytest.mark.slow
def test_a_damaged_model_is_loaded_or_refused(tmp_path: Path) -> None:
    check_reader(Reader("onnx", samples(), read, mutations=400), tmp_path / "files")
