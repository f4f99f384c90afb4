"""Nothing that we run reports its use to anybody, or leaves files that nobody asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.settings import RunSettings
from atb.devices.worker.client import WorkerClient
from atb.devices.worker.process import ProcessChannel
from atb.devices.worker.program import WORKER_PROGRAM, sent_sources
from atb.models.architecture import Architecture

ROOT = Path(__file__).resolve().parents[3]
SMALL = Architecture(1, 32, 1, 32, 64)
SETTINGS = RunSettings(sequence_length=16)
#: Files of the system through which a worker asks for what it needs.
OF_THE_SYSTEM = re.compile(r"/(dev|proc|sys)/")
WRITTEN = re.compile(
    r'"(?P<path>[^"]*)", [^"]*(O_WRONLY|O_RDWR|O_CREAT)|"(?P<folder>[^"]*)", 0\d+\)'
)


def home_of_nobody(folder: Path) -> dict[str, str]:
    """Variables of a login that sets nothing but what every login sets."""
    home = folder / "home"
    home.mkdir()
    return {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}


def left_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_onnxruntime_in_a_process_of_the_package_leaves_nothing_at_home(tmp_path: Path) -> None:
    environment = {**home_of_nobody(tmp_path), "PYTHONPATH": str(ROOT)}
    # what a user may have set to have it on is of their other programs
    environment["ORT_DISABLE_TELEMETRY"] = "0"
    program = "import atb, onnxruntime; print(onnxruntime.get_available_providers())"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert left_in(tmp_path / "home") == []


def test_a_worker_that_is_started_by_itself_leaves_nothing_at_home(tmp_path: Path) -> None:
    artefact = OnnxRuntimeCpu().build(SMALL, SETTINGS, tmp_path)
    with WorkerClient(
        ProcessChannel([sys.executable, "-c", WORKER_PROGRAM], home_of_nobody(tmp_path)),
        sources=sent_sources(OnnxRuntimeCpu().runner),
        runner="onnxruntime",
        settings=SETTINGS,
        timeout_seconds=60,
    ) as launch:
        launch.load("a", artefact)
    assert left_in(tmp_path / "home") == []


def test_what_a_child_process_inherits_keeps_every_library_silent() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.slow
def test_a_campaign_opens_no_connection_and_writes_only_what_was_asked_for(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        assert os.environ.get("CI") != "true", "strace must be installed where CI=true"
        pytest.skip("strace is not installed (scripts/test --system installs it)")
    traced, temporary = tmp_path / "trace.txt", tmp_path / "temporary"
    temporary.mkdir()
    environment = {
        **home_of_nobody(tmp_path),
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "1",
    }
    calls = "connect,open,openat,creat,mkdir,mkdirat"
    asked = ["profile", "local", "--arch", str(SMALL), "--sequence-length", "16"]
    asked += ["--budget", "5s", "--wait", "1s", "--db", "asked.db", "--cache", "0"]
    command = [sys.executable, "-m", "atb", *asked]
    subprocess.run(
        ["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", str(traced), *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
    )
    lines = traced.read_text("utf-8", "replace").splitlines()
    assert any("onnxruntime" in line for line in lines)
    assert [line for line in lines if "connect(" in line and "AF_INET" in line] == []
    written = {
        tmp_path / (match["path"] or match["folder"])
        for line in lines
        if "= -1" not in line and (match := WRITTEN.search(line))
    }
    strangers = [
        str(path)
        for path in written
        if not OF_THE_SYSTEM.match(str(path))
        and not path.is_relative_to(temporary)
        and "asked.db" not in path.name
        and path != tmp_path  # for a file without a name
    ]
    assert strangers == []
    assert left_in(tmp_path / "home") == left_in(temporary) == []
