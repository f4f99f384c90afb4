"""Who computes scores: the result is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atb.errors import InputError, RunError
from atb.models.architecture import Architecture
from atb.search.constraints.candidates import Candidates
from atb.search.scoring.executors import Executor, LocalExecutor, ProcessExecutor, RayExecutor
from atb.search.scoring.proxy import ExactProxy, ExactRoughProxy
from atb.search.testing import ExecutorSuite

pytestmark = pytest.mark.slow


class TestInProcess(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> Executor:
        return LocalExecutor(ExactRoughProxy())


class TestThreads(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> Executor:
        return LocalExecutor(ExactRoughProxy(), threads=3)


class TestProcesses(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        made = ProcessExecutor(ExactRoughProxy, 2)
        yield made
        made.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="pip install -e '.[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


class TestRayWorkers(ExecutorSuite):
    @pytest.fixture
    def executor(self, cluster: Any) -> Iterator[Executor]:
        made = RayExecutor(ExactRoughProxy, 2)
        yield made
        made.close()


class DyingProxy(ExactProxy):
    """Ends its process."""

    def score(self, architectures: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_told(candidates: Candidates) -> None:
    executor = ProcessExecutor(DyingProxy, 1)
    with pytest.raises(RunError, match="fewer --workers"):
        list(executor.scores([candidates.architecture(0)]))
    executor.close()


def test_no_workers_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        ProcessExecutor(ExactProxy, 0)


def test_processes_end_with_the_one_that_started_them() -> None:
    program = (
        "from atb.search.scoring.executors import ProcessExecutor\n"
        "from atb.search.scoring.proxy import ExactProxy\n"
        "from atb.models.architecture import Architecture\n"
        "import multiprocessing, os, signal\n"
        "executor = ProcessExecutor(ExactProxy, 1)\n"
        "list(executor.scores([Architecture(1, 8, 1, 8, 8)]))\n"
        "print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    for pid in map(int, done.stdout.split()):
        for _ in range(100):
            if not Path(f"/proc/{pid}").exists() or _is_zombie(pid):
                break
            subprocess.run(["sleep", "0.1"], check=True)
        else:
            pytest.fail(f"process {pid} lives on")


def _is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.parametrize("count", [1, 2])
def test_a_search_by_processes_gives_the_result_of_one(
    world: Any, tmp_path: Path, count: int
) -> None:
    alone = world.search(tmp_path / "alone", method="evolved+")
    executor = ProcessExecutor(ExactProxy, count)
    together = world.search(tmp_path / "together", method="evolved+", executor=executor)
    executor.close()
    assert together.candidates[0].architecture == alone.candidates[0].architecture
    assert [c.proxy for c in together.candidates] == [c.proxy for c in alone.candidates]
    assert isinstance(together.winner.architecture, Architecture)
    assert together.winner.architecture == alone.winner.architecture
