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

from atb.data.tokenizer.vocabulary import SHIPPED_VOCABULARY
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu
from atb.devices.runtimes.onnxruntime.runner import read_trace
from atb.devices.settings import RunSettings
from atb.devices.worker.core.inputs import make_inputs
from atb.devices.worker.core.interface import WorkerError
from atb.devices.worker.core.memory import memory_of
from atb.devices.worker.core.worker import Worker, _operators
from atb.devices.worker.program import WORKER_PROGRAM, sent_sources
from atb.models.architecture import Architecture
from atb.models.onnx_builder import build_graph, save_graph

SETTINGS = RunSettings(sequence_length=8).to_json()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER_PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as started:
        assert started.stdin is not None
        started.stdin.write(sent_sources(OnnxRuntimeCpu().runner).decode())
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


def test_operators_are_those_of_the_model_and_the_profile_is_deleted(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    load(process, save_small(tmp_path / "model.onnx"))
    operators = ask(process, do="operators", key="model", iterations=5)["operators"]
    kinds = {row["operator"] for row in operators}
    assert "LayerNormalization" in kinds
    assert {"MatMul", "FusedMatMul"} & kinds
    assert {row["count"] for row in operators} == {1}
    assert len({row["name"] for row in operators}) == len(operators)


TRACE = [
    {"cat": "Session", "name": "model_run", "ts": 0, "dur": 100, "args": {}},
    {"cat": "Node", "name": "a_kernel_time", "ts": 5, "dur": 90, "args": {"op_name": "Add"}},
    {"cat": "Session", "name": "model_run", "ts": 200, "dur": 50, "args": {}},
    {"cat": "Node", "name": "a_fence_before", "ts": 203, "dur": 1, "args": {}},
    {"cat": "Node", "name": "a_kernel_time", "ts": 205, "dur": 10, "args": {"op_name": "Add"}},
    {"cat": "Node", "name": "b_kernel_time", "ts": 215, "dur": 12, "args": {"op_name": "Mul"}},
    {"cat": "Node", "name": "b_kernel_time", "ts": 230, "dur": 18, "args": {"op_name": "Mul"}},
    {"cat": "Session", "name": "model_run", "ts": 300, "dur": 50, "args": {}},
    {"cat": "Node", "name": "a_kernel_time", "ts": 305, "dur": 20, "args": {"op_name": "Add"}},
    {"cat": "Node", "name": "b_kernel_time", "ts": 325, "dur": 20, "args": {"op_name": "Mul"}},
    {"cat": "Node", "name": "b_kernel_time", "ts": 345, "dur": 40, "args": {"op_name": "Mul"}},
]


def test_a_trace_is_summed_by_operator_without_its_first_run() -> None:
    assert _operators(read_trace(TRACE), 2) == [
        {"operator": "Mul", "name": "b", "seconds": 45e-6, "count": 2, "share": 0.75},
        {"operator": "Add", "name": "a", "seconds": 15e-6, "count": 1, "share": 0.25},
    ]


def test_text_is_split_by_the_library_that_serves(process: subprocess.Popen[str]) -> None:
    block = ask(
        process,
        do="tokenise",
        vocabulary=str(SHIPPED_VOCABULARY),
        text="It is timed what stands before an inference. " * 50,
        sequence_length=128,
        iterations=5,
    )
    assert len(block["wall_seconds"]) == 5
    assert min(block["wall_seconds"]) > 0


def test_a_tokeniser_that_is_missing_is_named(
    process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(WorkerError, match="pip install tokenizers"):
        Worker({}).do_tokenise("vocabulary.txt", "words", 8, 1)


def save_bomb(path: Path, gibibytes: int) -> Path:
    """A model that fills so much memory; how much is known only when it runs."""
    inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT64, (1, 8))]
    count = helper.make_tensor("count", TensorProto.INT64, (1,), [gibibytes * 2**30 // 4 // 8])
    nodes = [
        helper.make_node("Shape", ["tokens"], ["shape"]),
        helper.make_node("Mul", ["shape", "count"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "one"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["values"]),
        helper.make_node("ReduceSum", ["values"], ["out"], keepdims=0),
    ]
    one = helper.make_tensor("one", TensorProto.INT64, (1,), [1])
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ())]
    graph = helper.make_graph(nodes, "bomb", inputs, outputs, initializer=[count, one])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_a_model_that_wants_more_memory_than_it_may_take_is_out_of_memory(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    ask(process, do="hello", memory_share=0.05)
    available = memory_of("MemAvailable", "/proc/meminfo")
    assert available is not None
    bomb = save_bomb(tmp_path / "bomb.onnx", max(1, available // 2**30 // 2))
    assert load(process, bomb)["cause"] == "out-of-memory"
    # and it lives on
    assert load(process, save_small(tmp_path / "small.onnx"))["load_seconds"] > 0


def test_a_worker_offers_itself_first_when_memory_runs_out(
    process: subprocess.Popen[str],
) -> None:
    ask(process, do="hello", memory_share=0.5)
    adjusted = Path(f"/proc/{process.pid}/oom_score_adj").read_text("ascii").strip()
    assert adjusted == "1000"
    limits = Path(f"/proc/{process.pid}/limits").read_text("ascii").splitlines()
    (data,) = [line.split()[3] for line in limits if line.startswith("Max data size")]
    assert data.isdigit()
