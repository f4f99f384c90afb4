from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from atb.devices import worker as worker_module
from atb.devices.settings import RunSettings
from atb.devices.worker import RunQueue, Schedule, make_inputs, measure
from atb.models.architecture import Architecture
from atb.models.onnx_builder import build_graph, save_graph

WORKER = Path(worker_module.__file__)
SETTINGS = RunSettings(sequence_length=8).to_json()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-P", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as started:
        yield started
        started.kill()


def ask(process: subprocess.Popen[str], **request: Any) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def load(process: subprocess.Popen[str], path: Path, **settings: Any) -> dict[str, Any]:
    return ask(
        process,
        do="load",
        key="model",
        path=str(path),
        runner="onnxruntime",
        settings={**SETTINGS, **settings},
    )


def save_small(path: Path) -> Path:
    save_graph(build_graph(Architecture(1, 12, 2, 6, 8), sequence_length=8), path)
    return path


def test_it_imports_nothing_of_this_package() -> None:
    lines = WORKER.read_text("utf-8").splitlines()
    assert not [line for line in lines if line.strip().startswith(("from atb", "import atb"))]


def test_it_says_who_answers(process: subprocess.Popen[str]) -> None:
    answer = ask(process, do="hello")
    assert answer["pid"] == process.pid
    assert answer["numpy"] == np.__version__


def test_it_pins_itself(process: subprocess.Popen[str]) -> None:
    cpu = max(os.sched_getaffinity(0))
    ask(process, do="hello", affinity=[cpu])
    assert os.sched_getaffinity(process.pid) == {cpu}


def test_bye_ends_it_with_nothing_on_stderr(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate('{"do": "bye"}\n', timeout=20)
    assert process.returncode == 0
    assert errors == ""


def test_the_end_of_its_input_ends_it(process: subprocess.Popen[str]) -> None:
    ask(process, do="hello")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=20) == 0


def test_a_failure_is_an_answer_and_the_next_request_is_served(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    answer = load(process, tmp_path / "missing.onnx")
    assert answer["cause"] == "load-error"
    assert "missing.onnx" in answer["detail"]
    assert ask(process, do="run", key="model", iterations=1, warmup=0)["cause"] == "load-error"
    assert "first_seconds" in load(process, save_small(tmp_path / "model.onnx"))


def test_a_fixed_shape_that_differs_from_the_settings_is_a_load_error(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    answer = load(process, save_small(tmp_path / "model.onnx"), sequence_length=9)
    assert answer["cause"] == "load-error"
    assert "[1, 8]" in answer["detail"]


def test_an_unknown_runtime_is_a_load_error(process: subprocess.Popen[str]) -> None:
    answer = ask(process, do="load", key="a", path="a", runner="abacus", settings=SETTINGS)
    assert answer["cause"] == "load-error"


def save_foreign(path: Path, divide: bool) -> Path:
    """A model of somebody else: int32 and float inputs, free axes, no metadata."""
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT32, ("n", "s")),
        helper.make_tensor_value_info("token_mask", TensorProto.FLOAT, ("n", "s")),
        helper.make_tensor_value_info("segment_ids", TensorProto.INT64, ("n", "s")),
        helper.make_tensor_value_info("position_ids", TensorProto.INT64, ("n", "s")),
    ]
    nodes = [
        helper.make_node("Cast", ["tokens"], ["t"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["segment_ids"], ["g"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["position_ids"], ["p"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["t", "p"], ["a"]),
        # segments are zeros
        helper.make_node("Div" if divide else "Mul", ["token_mask", "g"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["out"]),
    ]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ("n", "s"))]
    graph = helper.make_graph(nodes, "foreign", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_foreign_model_is_fed_by_the_names_of_its_inputs(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    answer = load(process, save_foreign(tmp_path / "foreign.onnx", divide=False), batch=2)
    tokens = np.arange(1, 17) * 7919 % 100  # nobody said how many it knows
    assert answer["output_checksum"] == tokens.sum() + 2 * sum(range(8))
    assert ask(process, do="output", key="model")["shape"] == [2, 8]


def test_an_output_that_is_not_finite_is_wrong(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    answer = load(process, save_foreign(tmp_path / "foreign.onnx", divide=True))
    assert answer["cause"] == "wrong-output"


def test_inputs_stay_within_the_vocabulary_and_rarely_repeat() -> None:
    inputs = make_inputs(1024, 2, 128)
    tokens = inputs["input_ids"]
    assert tokens.shape == (2, 128)
    assert tokens.dtype == np.int64
    assert tokens.min() >= 0
    assert tokens.max() < 1024
    assert len(np.unique(tokens)) == tokens.size
    assert inputs["attention_mask"].all()
    assert not inputs["token_type_ids"].any()


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
    page, pages = 4096, 2000
    block = measure(lambda: np.ones(page * pages // 8), iterations=1, warmup=0)
    assert block["minor_faults"] >= pages // 2  # huge pages may spare some of them
    assert block["major_faults"] >= 0


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

    monkeypatch.setattr(worker_module.time, "perf_counter", lambda: now)
    monkeypatch.setattr(worker_module.time, "sleep", sleep)
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


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peak is told")
def test_memory_of_a_model_grows_with_its_weights(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    grown = {}
    for hidden in (64, 512):
        path = tmp_path / f"{hidden}.onnx"
        save_graph(build_graph(Architecture(2, hidden, 2, 64, hidden), sequence_length=8), path)
        grown[path] = load(process, path)["memory_bytes"]
        assert grown[path] > 0.5 * path.stat().st_size
    assert grown[tmp_path / "512.onnx"] > grown[tmp_path / "64.onnx"]


def test_a_loaded_model_is_run_in_its_scenario(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    load(process, save_small(tmp_path / "model.onnx"), scenario="throughput", streams=3)
    block = ask(process, do="run", key="model", iterations=4, warmup=1)
    assert len(block["wall_seconds"]) == 12
    assert len(block["warmup_seconds"]) == 3
