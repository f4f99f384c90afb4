from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from lowered import LoweredOnce

from atb.devices.contract import Artefact, LaunchFailure
from atb.devices.local import LocalDevice
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.runtimes.executorch import (
    lowering as executorch_lowering,
    xnnpack as executorch_xnnpack,
)
from atb.devices.runtimes.executorch.xnnpack import ExecuTorchXnnpack
from atb.devices.runtimes.reference import check_output
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

SMALL = Architecture(1, 20, 2, 12, 28)
SETTINGS = RunSettings(batch=2, sequence_length=8)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What is started in place of the lowering; write into it."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setattr(executorch_xnnpack, "__file__", str(folder / "xnnpack.py"))
    return folder / "lowering.py"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('XNNPACK did not take aten.mm')", "exit code 1.*did not take aten.mm"),
        ("import os; os.kill(os.getpid(), 9)", "was killed, as the system does"),
        ("import os; os.kill(os.getpid(), 6)", "signal SIGABRT"),
        ("import time; time.sleep(60)", "did not end within 0.5 s"),
    ],
)
def test_a_lowering_that_fails_is_a_build_error(
    body: str, words: str, script: Path, tmp_path: Path
) -> None:
    script.write_text(body, "utf-8")
    folder = tmp_path / "artefacts"
    folder.mkdir()
    seconds = 0.5 if "sleep" in body else 60.0
    with pytest.raises(LaunchFailure, match=f"(?s){words}") as caught:
        ExecuTorchXnnpack(longest_seconds=seconds).build(SMALL, SETTINGS, folder)
    assert caught.value.cause == "build-error"
    assert not list(folder.iterdir())


def test_the_lowering_is_told_what_to_write(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "import json, sys, pathlib\n"
        "request = json.loads(sys.stdin.readline())\n"
        "pathlib.Path(request.pop('target')).write_text(json.dumps(request))",
        "utf-8",
    )
    folder = tmp_path / "a folder; with $(odd) 'words'"
    folder.mkdir()
    artefact = ExecuTorchXnnpack().build(SMALL, replace(SETTINGS, precision="int8"), folder)
    assert artefact.path == folder / f"{SMALL}.B2-S8.int8.pte"
    told = artefact.path.read_text("utf-8")
    assert '"batch": 2, "sequence_length": 8, "precision": "int8"' in told
    assert list(folder.iterdir()) == [artefact.path]  # the weights are gone


def test_a_lowering_does_not_outlive_its_parent(script: Path, tmp_path: Path) -> None:
    """The parent is killed in the middle, and cannot clear up."""
    number = tmp_path / "number"
    real = Path(executorch_lowering.__file__)
    script.write_text(
        textwrap.dedent(f"""\
            import importlib.util, os, pathlib, sys, time
            spec = importlib.util.spec_from_file_location("lowering", {str(real)!r})
            lowering = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(lowering)
            def lower(*arguments, **more):
                pathlib.Path({str(number)!r} + ".part").write_text(str(os.getpid()))
                os.rename({str(number)!r} + ".part", {str(number)!r})
                time.sleep(60)
            lowering.lower = lower
            lowering.main()
            """),
        "utf-8",
    )
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""\
                from pathlib import Path
                from atb.devices.runtimes.executorch import xnnpack as it
                from atb.devices.settings import RunSettings
                from atb.models.architecture import Architecture
                it.__file__ = {str(script)!r}
                folder = Path({str(tmp_path)!r})
                architecture = Architecture(1, 20, 2, 12, 28)
                it.ExecuTorchXnnpack().build(architecture, RunSettings(), folder)
                """),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        assert _comes_true(number.exists)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    child = int(number.read_text("ascii"))
    assert _comes_true(lambda: not _runs(child))


def _comes_true(told: object, seconds: float = 60.0) -> bool:
    assert callable(told)
    end = time.monotonic() + seconds
    while not told() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(told())


def _runs(process: int) -> bool:
    """Whether a process is there and no mere entry of one that ended."""
    try:
        os.kill(process, 0)
        return ") Z " not in Path(f"/proc/{process}/stat").read_text("ascii")
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    """One in each precision."""
    pytest.importorskip("executorch", reason="the extra executorch is not installed")
    runtime, folder = LoweredOnce(tmp_path_factory), tmp_path_factory.mktemp("programs")
    return {
        precision: runtime.build(SMALL, replace(SETTINGS, precision=precision), folder)
        for precision in ExecuTorchXnnpack.precisions
    }


@pytest.mark.slow
@pytest.mark.parametrize("precision", ExecuTorchXnnpack.precisions)
@pytest.mark.parametrize("threads", [1, 2])
def test_it_computes_what_the_reference_computes(
    precision: str, threads: int, programs: dict[str, Artefact]
) -> None:
    settings = replace(SETTINGS, precision=precision, threads=threads)
    with LocalDevice().launch(ExecuTorchXnnpack(), settings) as launch:
        loaded = launch.load("a", programs[precision])
        launch.load("b", programs[precision])  # the first one keeps its threads
        found = check_output(SMALL, settings, launch.output("a"))
        assert len(launch.run("a", iterations=3).wall_seconds) == 3
    assert found.passed, found
    assert (found.max_difference > 1e-5) == (precision == "int8"), found
    assert loaded.providers == (f"XnnpackBackend {precision}", "kernels of ExecuTorch")


@pytest.mark.slow
def test_streams_take_turns(programs: dict[str, Artefact]) -> None:
    settings = replace(SETTINGS, scenario="throughput", streams=3)
    with LocalDevice().launch(ExecuTorchXnnpack(), settings) as launch:
        launch.load("a", programs["fp32"])
        assert len(launch.run("a", iterations=5, warmup=1).wall_seconds) == 15
        assert check_output(SMALL, settings, launch.output("a")).passed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"precision": "int8"}, "matrices have 32 bits, which is not int8"),
        ({"batch": 1}, r"for the shape \(2, 8\), not \(1, 8\)"),
    ],
)
def test_a_program_for_other_settings_is_a_load_error(
    change: dict[str, object], words: str, programs: dict[str, Artefact]
) -> None:
    settings = replace(SETTINGS, **change)  # type: ignore[arg-type]
    with (
        LocalDevice().launch(ExecuTorchXnnpack(), settings) as launch,
        pytest.raises(LaunchFailure, match=words) as caught,
    ):
        launch.load("a", programs["fp32"])
    assert caught.value.cause == "load-error"


@pytest.mark.slow
def test_models_of_one_worker_share_their_number_of_threads(
    programs: dict[str, Artefact],
) -> None:
    with LocalDevice().launch(ExecuTorchXnnpack(), SETTINGS) as launch:
        launch.load("a", programs["fp32"])
        with pytest.raises(LaunchFailure, match="has 1 threads in this worker, not 2"):
            launch.load("b", programs["fp32"], settings=replace(SETTINGS, threads=2))


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"no model", b"XnnpackBackend", None])
def test_a_damaged_program_is_a_load_error(
    content: bytes | None, programs: dict[str, Artefact], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.pte"
    whole = programs["fp32"].path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with (
        LocalDevice().launch(ExecuTorchXnnpack(), SETTINGS) as launch,
        pytest.raises(LaunchFailure) as caught,
    ):
        launch.load("a", describe_artefact(path))
    assert caught.value.cause == "load-error"
