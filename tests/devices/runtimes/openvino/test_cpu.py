from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atb.devices.contract import LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.runtimes.openvino.cpu import OpenVinoCpu
from atb.devices.runtimes.reference import check_device, check_output
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

pytest.importorskip("openvino_telemetry", reason="OpenVINO is not installed")
SMALL = Architecture(2, 60, 6, 42, 100)
CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize("fields", [{}, {"batch": 3, "sequence_length": 9}])
def test_it_computes_what_the_reference_computes(fields: dict[str, int]) -> None:
    found = check_device(LocalDevice(), OpenVinoCpu(), RunSettings(**fields))
    assert found.passed, found
    assert found.providers == ("CPU f32",)


@pytest.mark.skipif(CPUS < 2, reason="OpenVINO makes no more threads than there are processors")
def test_it_computes_with_as_many_threads_as_there_are_processors() -> None:
    settings = RunSettings(threads=CPUS, sequence_length=16)
    assert check_device(LocalDevice(), OpenVinoCpu(), settings).passed


def test_threads_that_it_would_not_make_are_refused(tmp_path: Path) -> None:
    settings = RunSettings(threads=CPUS + 1, sequence_length=16)
    artefact = OpenVinoCpu().build(SMALL, settings, tmp_path)
    with (
        LocalDevice().launch(OpenVinoCpu(), settings) as launch,
        pytest.raises(LaunchFailure, match=f"{CPUS + 1} threads .* and {CPUS} .* came") as caught,
    ):
        launch.load("a", artefact)
    assert caught.value.cause == "load-error"


def test_streams_compute_the_same_at_the_same_time(tmp_path: Path) -> None:
    streams = 3
    settings = RunSettings(sequence_length=16, scenario="throughput", streams=streams)
    artefact = OpenVinoCpu().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(OpenVinoCpu(), settings) as launch:
        launch.load("a", artefact)
        block = launch.run("a", iterations=5, warmup=1)
        found = check_output(SMALL, settings, launch.output("a"))
    assert len(block.wall_seconds) == 5 * streams
    assert found.passed, found


def test_its_operators_are_told(tmp_path: Path) -> None:
    settings = RunSettings(sequence_length=16)
    artefact = OpenVinoCpu().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(OpenVinoCpu(), settings) as launch:
        launch.load("a", artefact)
        found = launch.operators("a", iterations=3)
    kinds = [operator.operator for operator in found]
    assert kinds.count("FullyConnected") == 6 * SMALL.layers + 1
    assert {operator.count for operator in found} == {1}
    assert sum(operator.share for operator in found) == pytest.approx(1)


def test_a_file_of_another_format_is_a_load_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with (
        LocalDevice().launch(OpenVinoCpu(), RunSettings()) as launch,
        pytest.raises(LaunchFailure) as caught,
    ):
        launch.load("a", describe_artefact(path))
    assert caught.value.cause == "load-error"


def test_its_use_is_reported_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, library, told = tmp_path / "home", tmp_path / "library", tmp_path / "told"
    home.mkdir()
    (library / "openvino_telemetry").mkdir(parents=True)
    (library / "openvino_telemetry/__init__.py").write_text(f"open({str(told)!r}, 'w').close()")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(library), *sys.path]))
    settings = RunSettings(sequence_length=16)
    artefact = OpenVinoCpu().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(OpenVinoCpu(), settings) as launch:
        launch.load("a", artefact)
    assert not told.exists()
    assert not list(home.iterdir())
    # without the worker's care the package would have been asked
    subprocess.run([sys.executable, "-c", "import openvino"], check=True)
    assert told.exists()
