"""Times calls, one by one or of several threads at once, with nothing else done in between."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]


class RunQueue:
    """How long threads of this process were ready to run but waited for a CPU.

    Linux keeps the sum by thread, in nanoseconds; the files stay open, so that a reading takes
    microseconds.

    Args:
        threads: The system's numbers of the threads.
    """

    def __init__(self, threads: Iterable[int]) -> None:
        self._files: list[int] = []
        self.told = False
        for thread in threads:
            with contextlib.suppress(OSError):  # it ended, or the system does not tell
                self._files.append(os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY))
                # a kernel that keeps no sums tells zeros, of threads that never ran even
                self.told |= os.pread(self._files[-1], 64, 0).split() != [b"0"] * 3

    def read(self) -> int:
        """The sum over the threads, in nanoseconds; zero where it is not told."""
        try:
            return sum([int(os.pread(file, 64, 0).split()[1]) for file in self._files])
        except OSError:  # a thread ended: the sum would jump
            self.told = False
            return 0

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.pop())


#: Threads of this process that sleep until it ends, and hence never wait for a CPU.
SLEEPERS: set[int] = set()


def _threads_awake() -> list[int]:
    """The system's numbers of all threads that may work; none where it does not tell."""
    try:
        found = {int(task.name) for task in Path("/proc/self/task").iterdir()}
    except OSError:
        return []
    return sorted(found - SLEEPERS)


def _switches() -> tuple[int, int]:
    """Voluntary and involuntary context switches of this thread; zeros where it is not told."""
    if resource is None or not hasattr(resource, "RUSAGE_THREAD"):
        return 0, 0
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_nvcsw, usage.ru_nivcsw


def _faults() -> tuple[int, int] | None:
    """Minor and major page faults of this process so far."""
    if resource is None:
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt, usage.ru_majflt


class Reading(NamedTuple):
    """What was read around one call; times in nanoseconds, and counts before and after it."""

    begin: int
    wall: int
    cpu: int
    process_cpu: int
    switches_before: tuple[int, int]
    switches_after: tuple[int, int]
    wait: int

    @property
    def end(self) -> int:
        """When the call ended."""
        return self.begin + self.wall


_NOT_READ = Reading(0, 0, 0, 0, (0, 0), (0, 0), 0)


def _set_alarm(seconds: float) -> None:
    """End this process after so long, whatever it computes then; zero calls the alarm off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


@dataclass(frozen=True)
class Timer:
    """Times calls one by one.

    Attributes:
        call: What is timed.
        queue: Of the threads that serve it.
        pace: Lets time pass before each call.
        limit_seconds: A call that takes longer ends this process; zero sets no limit.
    """

    call: Callable[[], Any]
    queue: RunQueue
    pace: Callable[[], None] | None = None
    limit_seconds: float = 0.0

    def fill(self, readings: list[Reading], places: range) -> None:
        """Fill these places of the readings, one call each.

        The clocks are read innermost; what takes longer to read is read before and after them.
        """
        call, waited, pace, limit = self.call, self.queue.read, self.pace, self.limit_seconds
        for i in places:
            if pace is not None:
                pace()
            _set_alarm(limit)
            switches = _switches()
            wait = waited()
            process = time.process_time_ns()
            cpu = time.thread_time_ns()
            begin = time.perf_counter_ns()
            call()
            wall = time.perf_counter_ns() - begin
            cpu = time.thread_time_ns() - cpu
            process = time.process_time_ns() - process
            wait = waited() - wait
            readings[i] = Reading(begin, wall, cpu, process, switches, _switches(), wait)
            _set_alarm(0)


class Schedule:
    """Sleeps until the next multiple of an interval since its first call.

    After a call that took longer than the interval the next ones begin at once, until the
    schedule is caught up with. Such overruns show as wall times above the interval.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._next: float | None = None

    def __call__(self) -> None:
        """Sleep until the next call is due."""
        now = time.perf_counter()
        self._next = now if self._next is None else self._next + self._interval
        if self._next > now:
            time.sleep(self._next - now)


def _pace(settings: Mapping[str, Any]) -> Callable[[], None] | None:
    """What lets time pass before each inference of a scenario."""
    scenario = settings.get("scenario", "hot-loop")
    if scenario == "single-shot":
        return functools.partial(time.sleep, settings["interval_seconds"])
    if scenario == "fixed-rate":
        return Schedule(settings["interval_seconds"])
    return None


def measure(
    call: Callable[[], Any],
    iterations: int,
    warmup: int,
    settings: Mapping[str, Any] | None = None,
    limit_seconds: float = 0.0,
) -> dict[str, Any]:
    """Time `iterations` calls one by one, after `warmup` calls that are kept apart.

    Nothing is printed or collected in between. What the system does not tell is left out.

    Args:
        call: What is timed.
        iterations: How often; by each of the streams of a throughput scenario.
        warmup: How often before, at the same pace.
        settings: The fields of `RunSettings` that say how calls follow each other.
        limit_seconds: A call that takes longer ends this process; zero sets no limit, and streams
            have none, since there is one alarm for all of them.

    Returns:
        The fields of `Block`.
    """
    settings = settings or {}
    since_the_epoch = time.time() - time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        if settings.get("scenario") == "throughput":
            answer, warm, timed = _in_streams(call, iterations, warmup, settings.get("streams", 1))
        else:
            queue = RunQueue(_threads_awake())
            timer = Timer(call, queue, _pace(settings), limit_seconds)
            answer, warm, timed = _one_by_one(timer, iterations, warmup)
    finally:
        _set_alarm(0)
        gc.enable()
    begin, end = min(r.begin for r in timed), max(r.end for r in timed)
    return {
        "started_at": begin / 1e9 + since_the_epoch,
        "span_seconds": (end - begin) / 1e9,
        "wall_seconds": [r.wall / 1e9 for r in timed],
        "cpu_seconds": [r.cpu / 1e9 for r in timed],
        "voluntary_switches": [r.switches_after[0] - r.switches_before[0] for r in timed],
        "involuntary_switches": [r.switches_after[1] - r.switches_before[1] for r in timed],
        "warmup_seconds": [r.wall / 1e9 for r in warm],
        **answer,
    }


Measured = tuple[dict[str, Any], list[Reading], list[Reading]]


def _one_by_one(timer: Timer, iterations: int, warmup: int) -> Measured:
    """Calls by this thread: what else was told, and the readings of warm-up and block."""
    readings = [_NOT_READ] * (warmup + iterations)
    try:
        timer.fill(readings, range(warmup))
        before = _faults()
        timer.fill(readings, range(warmup, warmup + iterations))
        answer = _told_faults(before, _faults())
    finally:
        timer.queue.close()
    timed = readings[warmup:]
    answer["process_cpu_seconds"] = [r.process_cpu / 1e9 for r in timed]
    if timer.queue.told:
        answer["wait_seconds"] = [r.wait / 1e9 for r in timed]
    return answer, readings[:warmup], timed


def _in_streams(call: Callable[[], Any], iterations: int, warmup: int, streams: int) -> Measured:
    """The same by several threads that begin together; in the order in which calls began.

    Each thread reads its own waits. Time on a CPU of the whole process belongs to no single call.
    """
    faults: list[tuple[int, int] | None] = []
    together = threading.Barrier(streams, action=lambda: faults.append(_faults()))

    def serve() -> tuple[list[Reading], bool]:
        readings = [_NOT_READ] * (warmup + iterations)
        queue = RunQueue([threading.get_native_id()])
        timer = Timer(call, queue)
        try:
            timer.fill(readings, range(warmup))
            together.wait()
            timer.fill(readings, range(warmup, warmup + iterations))
        except BaseException:
            together.abort()  # no other stream waits for one that failed
            raise
        finally:
            queue.close()
        return readings, queue.told

    with ThreadPoolExecutor(streams) as pool:
        served = [pool.submit(serve) for _ in range(streams)]
    errors = [error for stream in served if (error := stream.exception()) is not None]
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error  # the one that broke the barrier comes first
    answer = _told_faults(faults[0], _faults())
    parts = [stream.result() for stream in served]
    timed = sorted(reading for readings, _ in parts for reading in readings[warmup:])
    if all(told for _, told in parts):
        answer["wait_seconds"] = [r.wait / 1e9 for r in timed]
    return answer, sorted(r for readings, _ in parts for r in readings[:warmup]), timed


def _told_faults(before: tuple[int, int] | None, after: tuple[int, int] | None) -> dict[str, Any]:
    if before is None or after is None:
        return {}
    return {"minor_faults": after[0] - before[0], "major_faults": after[1] - before[1]}
