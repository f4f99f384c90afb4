"""What onnxruntime would serve silently by something else is refused."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from atb.devices.contract import LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.library_runtime import RuntimeAbsent
from atb.devices.runtimes.onnxruntime import cuda as onnxruntime_cuda
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.runtimes.onnxruntime.cuda import OnnxRuntimeCuda
from atb.devices.runtimes.onnxruntime.runner import OnnxRuntimeCudaModel, OnnxRuntimeModel
from atb.devices.settings import RunSettings
from atb.devices.worker.core.interface import ModelFile, WorkerError
from atb.models.architecture import Architecture

ARCHITECTURE = Architecture(1, 20, 2, 12, 28)
SETTINGS = RunSettings(sequence_length=8)
HERE = onnxruntime.get_available_providers()


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(OnnxRuntimeCpu().build(ARCHITECTURE, SETTINGS, tmp_path).path)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("provider", ["XnnpackExecutionProvider", "CUDAExecutionProvider"])
def test_a_provider_that_the_build_lacks_is_refused(provider: str, model: str) -> None:
    if provider in HERE:
        pytest.skip(f"this build of onnxruntime has the {provider}")

    class Asking(OnnxRuntimeModel):
        wanted = provider

    # what onnxruntime does by itself
    silent = onnxruntime.InferenceSession(model, providers=[provider])
    assert silent.get_providers() == ["CPUExecutionProvider"]
    wanted = f"{provider} was asked for and CPUExecutionProvider came: this build"
    with pytest.raises(WorkerError, match=wanted) as caught:
        Asking(ModelFile(model, SETTINGS.to_json()))
    assert caught.value.cause == "load-error"


@pytest.mark.skipif("AzureExecutionProvider" not in HERE, reason="it is in the usual builds")
def test_a_provider_that_leaves_operators_to_the_cpu_is_refused(model: str) -> None:
    class Asking(OnnxRuntimeModel):
        wanted = "AzureExecutionProvider"  # is there, and has no operator of a BERT

    silent = onnxruntime.InferenceSession(model, providers=["AzureExecutionProvider"])
    assert silent.get_providers()[0] == "AzureExecutionProvider"
    with pytest.raises(Exception, match="fallback to CPU EP has been explicitly disabled"):
        Asking(ModelFile(model, SETTINGS.to_json()))


def test_a_provider_that_does_not_take_its_options_is_refused(model: str) -> None:
    class Asking(OnnxRuntimeModel):
        wanted_options = OnnxRuntimeCudaModel.wanted_options

    wanted = "CPUExecutionProvider was asked for with use_tf32=0 and came with None"
    with pytest.raises(WorkerError, match=wanted):
        Asking(ModelFile(model, SETTINGS.to_json()))


@pytest.mark.skipif("CUDAExecutionProvider" in HERE, reason="this build has it")
def test_a_launch_for_a_gpu_is_not_served_by_the_processor(tmp_path: Path) -> None:
    artefact = OnnxRuntimeCuda().build(ARCHITECTURE, SETTINGS, tmp_path)
    with (
        LocalDevice().launch(OnnxRuntimeCuda(), SETTINGS) as launch,
        pytest.raises(LaunchFailure, match="CUDAExecutionProvider was asked for") as caught,
    ):
        launch.load("a", artefact)
    assert caught.value.cause == "load-error"


def test_without_its_library_the_runtime_is_absent_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime_cuda, "_LIBRARY", "no-such-library.so")
    with pytest.raises(RuntimeAbsent, match="`pip install onnxruntime-gpu`"):
        _ = OnnxRuntimeCuda().version


def test_without_onnxruntime_the_runtime_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_cuda, "find_spec", lambda name: None)
    with pytest.raises(RuntimeAbsent, match="no CUDA provider"):
        _ = OnnxRuntimeCuda().version


def test_with_its_library_the_runtime_tells_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_cuda, "_LIBRARY", "__init__.py")
    assert OnnxRuntimeCuda().version == onnxruntime.__version__
