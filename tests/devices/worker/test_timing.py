from __future__ import annotations

import gc
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from atb.devices.worker.core import timing
from atb.devices.worker.core.timing import RunQueue, Schedule, measure


def test_a_block_keeps_the_warmup_apart_and_collects_no_garbage_within() -> None:
    seen = []
    block = measure(lambda: seen.append(gc.isenabled()), iterations=4, warmup=3)
    assert seen == [False] * 7
    assert gc.isenabled()
    lists = {name: len(values) for name, values in block.items() if isinstance(values, list)}
    assert lists.pop("wait_seconds", 4) == 4  # not every system tells it
    assert lists == {
        "wall_seconds": 4,
        "cpu_seconds": 4,
        "process_cpu_seconds": 4,
        "voluntary_switches": 4,
        "involuntary_switches": 4,
        "warmup_seconds": 3,
    }


def test_a_sleep_shows_in_wall_time_and_voluntary_switches_but_not_in_cpu_time() -> None:
    block = measure(lambda: time.sleep(0.02), iterations=3, warmup=0)
    assert min(block["wall_seconds"]) >= 0.02
    assert max(block["cpu_seconds"]) < 0.02
    assert min(block["voluntary_switches"]) >= 1


def test_garbage_is_collected_again_after_an_iteration_failed() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        measure(fail, iterations=1, warmup=0)
    assert gc.isenabled()


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture
def crowded_cpu() -> Iterator[None]:
    """This thread shares one CPU with a process that is never idle."""
    usable = os.sched_getaffinity(0)
    cpu = min(usable)
    script = f"import os; os.sched_setaffinity(0, [{cpu}]); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        os.sched_setaffinity(0, [cpu])
        try:
            yield
        finally:
            os.sched_setaffinity(0, usable)
            busy.kill()


TELLS_WAITS = Path("/proc/self/schedstat").exists()


@pytest.mark.skipif(not TELLS_WAITS, reason="this kernel does not tell run-queue waits")
def test_waiting_for_a_cpu_shows_in_wait_and_wall_time_but_not_in_cpu_time(
    crowded_cpu: None,
) -> None:
    block = measure(lambda: spin(0.03), iterations=3, warmup=0)
    assert sum(block["wait_seconds"]) > 0.01
    for wall, cpu, wait in zip(
        block["wall_seconds"], block["cpu_seconds"], block["wait_seconds"], strict=True
    ):
        assert wall - cpu == pytest.approx(wait, rel=0.2, abs=0.005)


@pytest.mark.skipif(not TELLS_WAITS, reason="this kernel does not tell run-queue waits")
def test_a_thread_that_ended_makes_the_waits_untold() -> None:
    ready, leave = threading.Event(), threading.Event()

    def stay() -> None:
        ready.set()
        leave.wait()

    guest = threading.Thread(target=stay)
    guest.start()
    ready.wait()
    assert guest.native_id is not None
    queue = RunQueue([threading.get_native_id(), guest.native_id])
    queue.read()
    assert queue.told
    leave.set()
    guest.join()
    while Path(f"/proc/self/task/{guest.native_id}").exists():
        time.sleep(0.001)
    assert queue.read() == 0
    assert not queue.told
    queue.close()


def test_waits_of_threads_that_are_not_there_are_not_told() -> None:
    queue = RunQueue([2**30])
    assert not queue.told
    assert queue.read() == 0


def test_what_other_threads_compute_shows_in_the_cpu_time_of_the_process() -> None:
    def with_help() -> None:
        helper = threading.Thread(target=spin, args=(0.02,))
        helper.start()
        helper.join()

    block = measure(with_help, iterations=2, warmup=0)
    assert min(block["process_cpu_seconds"]) >= 0.02
    assert max(block["cpu_seconds"]) < 0.02


def test_pages_touched_for_the_first_time_show_as_faults() -> None:
    megabytes = 64

    def touch() -> np.ndarray:
        # of the system itself: an allocator may keep what is freed, and does once one has trained
        pages = np.frombuffer(mmap.mmap(-1, megabytes * 2**20), dtype=np.uint8)
        pages.fill(1)
        return pages

    touching = measure(touch, iterations=1, warmup=0)
    # a page may be as large as two megabytes
    assert touching["minor_faults"] >= megabytes / 2
    assert touching["major_faults"] >= 0


def test_single_shots_rest_before_each_inference() -> None:
    begun: list[float] = []
    ended: list[float] = []

    def call() -> None:
        begun.append(time.perf_counter())
        time.sleep(0.001)
        ended.append(time.perf_counter())

    settings = {"scenario": "single-shot", "interval_seconds": 0.02}
    block = measure(call, iterations=3, warmup=1, settings=settings)
    assert len(begun) == 4
    pauses = [begin - end for begin, end in zip(begun[1:], ended, strict=False)]
    assert min(pauses) >= 0.02
    assert min(block["wall_seconds"]) >= 0.001
    assert block["span_seconds"] >= 2 * 0.02 + 3 * 0.001


def test_a_schedule_keeps_its_multiples_and_catches_up_after_an_overrun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    begun = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    monkeypatch.setattr(timing.time, "sleep", sleep)
    wait = Schedule(1.0)
    for takes in (0.25, 2.5, 0.25, 0.25, 0.25):
        wait()
        begun.append(now)
        now += takes
    assert begun == [100.0, 101.0, 103.5, 103.75, 104.0]


def test_streams_begin_together_and_their_requests_overlap() -> None:
    served: list[str] = []

    def call() -> None:
        served.append(threading.current_thread().name)
        time.sleep(0.01)

    settings = {"scenario": "throughput", "streams": 4}
    block = measure(call, iterations=5, warmup=2, settings=settings)
    assert len(block["wall_seconds"]) == 20
    assert len(block["warmup_seconds"]) == 8
    assert len(set(served)) == 4
    assert 5 * 0.01 <= block["span_seconds"] < sum(block["wall_seconds"])
    assert "process_cpu_seconds" not in block
    assert gc.isenabled()


def test_a_stream_that_fails_fails_the_block_and_lets_nobody_wait() -> None:
    left = iter(range(7))

    def call() -> None:
        if next(left, None) is None:
            raise ValueError("the seventh")

    with pytest.raises(ValueError, match="the seventh"):
        measure(call, 5, 2, settings={"scenario": "throughput", "streams": 4})
    assert gc.isenabled()


def test_an_iteration_above_its_limit_ends_the_process() -> None:
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(timing.__file__).parent)!r})\n"
        "import timing\n"
        "timing.measure(lambda: time.sleep(0.01), 3, 0, limit_seconds=5.0)\n"
        "timing.measure(lambda: time.sleep(30), 3, 0, limit_seconds=0.2)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=25, check=False)
    assert ended.returncode == -signal.SIGALRM
