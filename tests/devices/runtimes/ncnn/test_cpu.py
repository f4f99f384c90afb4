from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atb.devices.contract import LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.runtimes.ncnn.cpu import NcnnCpu
from atb.devices.runtimes.reference import check_device, timing_output
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

pytest.importorskip("ncnn", reason="the extra ncnn is not installed")

SMALL = Architecture(2, 60, 6, 42, 100)


@pytest.mark.parametrize("precision", NcnnCpu.precisions)
@pytest.mark.parametrize("sizes", [{}, {"batch": 3, "sequence_length": 9}, {"threads": 2}])
def test_it_computes_what_the_reference_computes(precision: str, sizes: dict[str, int]) -> None:
    settings = RunSettings(precision=precision, **sizes)
    found = check_device(LocalDevice(), NcnnCpu(), settings)
    assert found.passed, found
    assert found.providers == (f"CPU {precision}",)


def test_sequences_longer_than_those_of_bert_are_served(tmp_path: Path) -> None:
    settings = RunSettings(sequence_length=600)
    artefact = NcnnCpu().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(NcnnCpu(), settings) as launch:
        launch.load("a", artefact)
        np.testing.assert_allclose(launch.output("a"), timing_output(SMALL, settings), atol=1e-4)


def test_streams_share_one_network(tmp_path: Path) -> None:
    settings = RunSettings(sequence_length=16, scenario="throughput", streams=3)
    artefact = NcnnCpu().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(NcnnCpu(), settings) as launch:
        launch.load("a", artefact)
        assert len(launch.run("a", iterations=5, warmup=1).wall_seconds) == 15
        np.testing.assert_allclose(launch.output("a"), timing_output(SMALL, settings), atol=1e-4)


def test_idle_threads_do_not_spin(tmp_path: Path) -> None:
    settings = RunSettings(threads=2, scenario="single-shot", interval_seconds=0.05)
    artefact = NcnnCpu().build(SMALL, settings, tmp_path)
    with LocalDevice().launch(NcnnCpu(), settings) as launch:
        launch.load("a", artefact)
        block = launch.run("a", iterations=10)
    if not block.process_cpu_seconds:
        pytest.skip("the system does not tell")
    # spinning ones compute as long as they are waited for, and on a busy machine much longer
    assert np.median(block.process_cpu_seconds) < 10 * np.median(block.cpu_seconds)


def test_a_network_of_another_precision_is_a_load_error(tmp_path: Path) -> None:
    artefact = NcnnCpu().build(SMALL, RunSettings(), tmp_path)
    with (
        LocalDevice().launch(NcnnCpu(), RunSettings(precision="int8")) as launch,
        pytest.raises(LaunchFailure, match="computes in fp32, not in int8") as caught,
    ):
        launch.load("a", artefact)
    assert caught.value.cause == "load-error"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "no network of ncnn"),
        (lambda content: content[:-9], "no network of ncnn"),
        (lambda content: content[100:], "bytes where"),
        (lambda content: b"[1]" + (3).to_bytes(8, "little"), "no network of ncnn"),
        (lambda content: content.replace(b"Gemm", b"Gamm"), "cannot read the network"),
    ],
)
def test_a_damaged_file_is_a_load_error(damage: object, words: str, tmp_path: Path) -> None:
    assert callable(damage)
    path = NcnnCpu().build(SMALL, RunSettings(), tmp_path).path
    path.write_bytes(damage(path.read_bytes()))
    with (
        LocalDevice().launch(NcnnCpu(), RunSettings()) as launch,
        pytest.raises(LaunchFailure, match=words) as caught,
    ):
        launch.load("a", describe_artefact(path))
    assert caught.value.cause == "load-error"
