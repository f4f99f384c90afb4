from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from atb.devices import worker as worker_module
from atb.devices.settings import RunSettings
from atb.devices.worker import make_inputs, measure
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
    import gc

    seen = []
    block = measure(lambda: seen.append(gc.isenabled()), iterations=4, warmup=3)
    assert seen == [False] * 7
    assert gc.isenabled()
    assert {name: len(values) for name, values in block.items() if name != "started_at"} == {
        "wall_seconds": 4,
        "cpu_seconds": 4,
        "voluntary_switches": 4,
        "involuntary_switches": 4,
        "warmup_seconds": 3,
    }


def test_a_sleep_shows_in_wall_time_and_voluntary_switches_but_not_in_cpu_time() -> None:
    import time

    block = measure(lambda: time.sleep(0.02), iterations=3, warmup=0)
    assert min(block["wall_seconds"]) >= 0.02
    assert max(block["cpu_seconds"]) < 0.02
    assert min(block["voluntary_switches"]) >= 1


def test_garbage_is_collected_again_after_an_iteration_failed() -> None:
    import gc

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        measure(fail, iterations=1, warmup=0)
    assert gc.isenabled()
