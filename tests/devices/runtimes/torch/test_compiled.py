from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from atb.devices.contract import LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.library_runtime import RuntimeAbsent
from atb.devices.runtimes.reference import check_output
from atb.devices.runtimes.torch.cpu import TorchCompiled, TorchCpu
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

SMALL = Architecture(1, 20, 2, 12, 28)
OTHER = Architecture(2, 28, 2, 8, 20)
SETTINGS = RunSettings(sequence_length=8, batch=2)


@pytest.mark.slow
def test_each_of_several_models_is_compiled_and_computes_the_reference(tmp_path: Path) -> None:
    with LocalDevice().launch(TorchCompiled(), SETTINGS) as launch:
        for architecture in (SMALL, OTHER):
            key = str(architecture)
            artefact = TorchCompiled().build(architecture, SETTINGS, tmp_path)
            assert launch.load(key, artefact).providers == ("inductor",)
        for architecture in (SMALL, OTHER):
            found = check_output(architecture, SETTINGS, launch.output(str(architecture)))
            assert found.passed, found
        kinds = [row.operator for row in launch.operators(str(SMALL), iterations=2)]
    assert any("Torch-Compiled Region" in kind for kind in kinds)
    assert "gelu" not in kinds  # is fused with its neighbours


@pytest.mark.slow
def test_what_would_run_uncompiled_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    assert failure(tmp_path) == "torch.compile left the model as it was: unset TORCHDYNAMO_DISABLE"


@pytest.mark.slow
def test_a_compiler_that_fails_is_a_load_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    assert "InvalidCxxCompiler" in failure(tmp_path)


def failure(folder: Path) -> str:
    """Why a model is not loaded."""
    artefact = TorchCompiled().build(SMALL, SETTINGS, folder)
    with (
        LocalDevice().launch(TorchCompiled(), SETTINGS) as launch,
        pytest.raises(LaunchFailure) as caught,
    ):
        launch.load("a", artefact)
    assert caught.value.cause == "load-error"
    return caught.value.detail


def test_without_a_compiler_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeAbsent, match=r"there is no no-such-compiler; install one"):
        _ = TorchCompiled().version
    monkeypatch.setenv("CXX", sys.executable)  # any program
    assert TorchCompiled().version == TorchCpu().version


def test_without_the_headers_of_python_it_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(RuntimeAbsent, match=r"no Python\.h; install them"):
        _ = TorchCompiled().version


def test_loading_is_waited_for_longer() -> None:
    launch = LocalDevice(timeout_seconds=1.0).launch(TorchCompiled(), SETTINGS)
    waits = launch._load_patience_seconds  # type: ignore[attr-defined]
    assert waits == TorchCompiled.load_patience_seconds > 600


def test_the_artefact_is_that_of_the_eager_runtime(tmp_path: Path) -> None:
    hashes = {
        runtime.build(SMALL, SETTINGS, tmp_path).sha256 for runtime in (TorchCpu(), TorchCompiled())
    }
    assert len(hashes) == 1
