from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from atb.devices.contract import Artefact, LaunchFailure
from atb.devices.settings import RunSettings
from atb.devices.worker import process as process_module
from atb.devices.worker.client import WorkerClient
from atb.devices.worker.process import ProcessChannel

ARTEFACT = Artefact(Path("model"), "0", 0)
GREETING = "import os, signal, sys, time\nsys.stdin.readline()\nprint('{}', flush=True)\n"

LOADED = '{"first_seconds": 0, "load_seconds": 1, "providers": [], "output_checksum": 0}'


def launch(
    script: str, *, timeout_seconds: float = 20.0, settings: RunSettings | None = None
) -> WorkerClient:
    """A worker that greets and then does as the script says at the first request."""
    return WorkerClient(
        ProcessChannel(
            [sys.executable, "-c", GREETING + "sys.stdin.readline()\n" + textwrap.dedent(script)],
            os.environ,
        ),
        runner="onnxruntime",
        settings=settings or RunSettings(),
        timeout_seconds=timeout_seconds,
    )


def failure(started: WorkerClient) -> LaunchFailure:
    with started as entered, pytest.raises(LaunchFailure) as caught:
        entered.load("model", ARTEFACT)
    return caught.value


def pid_of(client: WorkerClient) -> int | None:
    return client._channel.pid  # type: ignore[attr-defined]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a zombie that its parent has not reaped is no longer running
    return ") Z " not in Path(f"/proc/{pid}/stat").read_text("ascii")


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_a_worker_that_dies_of_a_signal_crashed_and_the_signal_is_named() -> None:
    died = failure(launch("os.kill(os.getpid(), signal.SIGSEGV)"))
    assert died.cause == "crash"
    assert "SIGSEGV" in died.detail


def test_a_worker_that_exits_crashed_and_its_last_words_are_kept() -> None:
    died = failure(launch("sys.exit('the disk is on fire')"))
    assert died.cause == "crash"
    assert "exit code 1" in died.detail
    assert "the disk is on fire" in died.detail


@pytest.mark.parametrize(
    ("counts", "cause"),
    [((3, 4), "out-of-memory"), ((3, 3), "crash"), ((None, None), "out-of-memory")],
)
@pytest.mark.parametrize("script", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(137)"])
def test_a_killed_worker_ran_out_of_memory_unless_the_kernel_denies_it(
    counts: tuple[int | None, int | None],
    cause: str,
    script: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = iter(counts)
    monkeypatch.setattr(process_module, "memory_kills", lambda: next(told))
    assert failure(launch(script)).cause == cause


def test_a_memory_error_is_out_of_memory() -> None:
    assert failure(launch("raise MemoryError")).cause == "out-of-memory"


def test_a_silent_worker_times_out_and_is_killed_while_the_parent_sleeps() -> None:
    silent = launch("time.sleep(60)", timeout_seconds=0.5)
    with silent as entered:
        assert pid_of(entered) is not None
        pid = pid_of(entered)
        before = time.process_time()
        with pytest.raises(LaunchFailure) as caught:
            entered.load("model", ARTEFACT)
        assert time.process_time() - before < 0.25
    assert caught.value.cause == "timeout"
    assert caught.value.detail.startswith("iteration: model was not loaded and run once")
    assert not is_running(pid)


def test_an_answer_that_is_no_json_is_a_crash() -> None:
    assert failure(launch("print('hello', flush=True); time.sleep(60)")).cause == "crash"


def test_a_worker_that_cannot_be_started_is_a_device_that_is_gone() -> None:
    missing = WorkerClient(
        ProcessChannel(["/no/such/python"], {}),
        runner="onnxruntime",
        settings=RunSettings(),
        timeout_seconds=1,
    )
    with pytest.raises(LaunchFailure) as caught, missing:
        pass
    assert caught.value.cause == "device-gone"


def test_ctrl_c_before_there_is_a_worker_is_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(process_module, "memory_kills", interrupt)
    with pytest.raises(KeyboardInterrupt), launch(""):
        pass


def test_a_worker_that_dies_before_its_greeting_leaves_nothing_behind() -> None:
    broken = WorkerClient(
        ProcessChannel([sys.executable, "-c", "raise SystemExit('no numpy here')"], os.environ),
        runner="onnxruntime",
        settings=RunSettings(),
        timeout_seconds=20,
    )
    with pytest.raises(LaunchFailure, match="no numpy here"), broken:
        pass


def test_an_error_in_the_parent_kills_the_worker_and_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"""
    import subprocess
    child = subprocess.Popen(["sleep", "60"])
    open({str(note)!r}, "w").write(str(child.pid))
    print('{LOADED}', flush=True)
    time.sleep(60)
    """
    with pytest.raises(KeyboardInterrupt), launch(script) as entered:
        entered.load("model", ARTEFACT)
        assert pid_of(entered) is not None
        pid = pid_of(entered)
        raise KeyboardInterrupt
    assert not is_running(pid)
    assert wait_until_gone(int(note.read_text("ascii")))


def test_a_worker_dies_with_a_parent_that_is_killed_in_the_middle_of_a_block(
    tmp_path: Path,
) -> None:
    script = f"""
        from pathlib import Path
        from atb.devices.local import LocalDevice
        from atb.devices.settings import RunSettings
        from atb.models.architecture import Architecture
        device = LocalDevice()
        runtime, settings = device.runtimes["onnxruntime"], RunSettings()
        artefact = runtime.build(Architecture(1, 64, 2, 64, 64), settings, Path({str(tmp_path)!r}))
        with device.launch(runtime, settings) as launch:
            launch.load("model", artefact)
            print(launch._channel.pid, flush=True)
            launch.run("model", iterations=1_000_000)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(signal.SIGKILL)
    assert wait_until_gone(pid)


def test_the_idle_time_of_a_block_is_not_silence() -> None:
    script = f"""
    print('{LOADED}', flush=True)
    sys.stdin.readline()
    time.sleep(1.5)
    print('{{"started_at": 0, "wall_seconds": [1], "cpu_seconds": [1], "voluntary_switches": [0],'
          ' "involuntary_switches": [0]}}', flush=True)
    sys.stdin.readline()
    """
    settings = RunSettings(scenario="single-shot", interval_seconds=2.0)
    with launch(script, timeout_seconds=1, settings=settings) as entered:
        entered.load("model", ARTEFACT)
        assert entered.run("model", iterations=1).wall_seconds == (1,)


def test_a_worker_that_never_greets_is_named_as_the_device() -> None:
    deaf = WorkerClient(
        ProcessChannel([sys.executable, "-c", "import time; time.sleep(60)"], os.environ),
        runner="onnxruntime",
        settings=RunSettings(),
        timeout_seconds=0.2,
    )
    with pytest.raises(LaunchFailure) as caught, deaf:
        pass
    assert caught.value.cause == "timeout"
    assert caught.value.detail.startswith("device: no greeting")


def test_a_block_that_does_not_end_is_named_as_a_block() -> None:
    script = f"""
    print('{LOADED}', flush=True)
    time.sleep(60)
    """
    with launch(script, timeout_seconds=1) as entered:
        entered.load("model", ARTEFACT)
        with pytest.raises(LaunchFailure) as caught:
            entered.run("model", iterations=10)
    assert caught.value.cause == "timeout"
    assert caught.value.detail.startswith("block: 10 iterations of model did not end within 1 s")


def test_a_worker_that_its_alarm_ended_hung_in_an_iteration() -> None:
    late = failure(launch("os.kill(os.getpid(), signal.SIGALRM)"))
    assert late.cause == "timeout"
    assert late.detail.startswith("iteration: one did not end within 20 s")


@pytest.mark.parametrize(
    "words", ["terminate called after throwing an instance of 'std::bad_alloc'", "MemoryError"]
)
def test_last_words_about_memory_are_out_of_memory(words: str) -> None:
    script = f"""
    sys.stderr.write({words!r})
    sys.stderr.flush()
    os.abort()
    """
    assert failure(launch(script)).cause == "out-of-memory"


def test_a_worker_is_told_what_it_may_take(tmp_path: Path) -> None:
    note = tmp_path / "greeting"
    script = f"import sys; open({str(note)!r}, 'w').write(sys.stdin.readline()); print('{{}}')"
    started = WorkerClient(
        ProcessChannel([sys.executable, "-c", script], os.environ),
        runner="onnxruntime",
        settings=RunSettings(affinity=(0,)),
        timeout_seconds=20,
        memory_share=0.25,
    )
    with started:
        pass
    greeting = json.loads(note.read_text("utf-8"))
    assert greeting == {"do": "hello", "affinity": [0], "memory_share": 0.25}
