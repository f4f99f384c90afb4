"""What a device answers may be damaged: it is read as it was meant, or is that device's failure."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutation import Reader, check_reader

from atb.devices.contract import Artefact, LaunchFailure
from atb.devices.remote.saved_devices import RemoteFacts
from atb.devices.settings import RunSettings
from atb.devices.worker.client import ExitStatus, WorkerClient
from atb.devices.worker.replies import ProtocolError, parse_line, parse_state

HELLO = {"pid": 7, "python": "3.11.7", "numpy": "2.1.0"}
LOADED = {
    "load_seconds": 0.25,
    "first_seconds": 0.01,
    "providers": ["CPUExecutionProvider"],
    "builds": {"onnxruntime": "1.30.0"},
    "output_checksum": -3.5,
    "memory_bytes": 1 << 20,
    "vocabulary_size": 100,
}
BLOCK = {
    "started_at": 1.7e9,
    "span_seconds": 0.03,
    "wall_seconds": [0.01, 0.012],
    "cpu_seconds": [0.01, 0.011],
    "voluntary_switches": [0, 0],
    "involuntary_switches": [0, 1],
    "warmup_seconds": [0.02],
    "minor_faults": 3,
    "major_faults": 0,
    "process_cpu_seconds": [0.01, 0.01],
    "wait_seconds": [0.0, 1e-5],
}
OUTPUT = {"shape": [1, 2], "values": base64.b64encode(b"\0\0\x80\x3f\0\0\0\x40").decode()}
OPERATORS = {
    "operators": [
        {"operator": "MatMul", "name": "a", "seconds": 0.1, "count": 1, "share": 0.75},
        {"operator": "Add", "name": "b", "seconds": 0.03, "count": 2, "share": 0.25},
    ]
}
FACTS = {
    "platform": {"processor": "Cortex-A72", "logical_cpus": "4", "memory": "4 GiB"},
    "clusters": [[2, 3], [0, 1]],
    "usable_cpus": [0, 1, 2, 3],
    "versions": {"numpy": "2.1.0", "onnxruntime": "1.30.0"},
    "python": "3.11.7",
}
STATE = {"frequency_hertz": 1.5e9, "load_average_1min": 0.5, "governor": "ondemand"}


class Scripted:
    """A channel through which come the answers that a test wrote down."""

    def __init__(self, *lines: bytes) -> None:
        self._lines = list(lines)

    def open(self) -> None: ...

    def deliver(self, path: Path, *_: Any) -> str:
        return str(path)

    def send(self, line: bytes, *_: Any, **__: Any) -> None: ...

    def receive(self, *_: Any, **__: Any) -> bytes | None:
        return self._lines.pop(0) if self._lines else None

    def exit_status(self) -> ExitStatus:
        return ExitStatus(1, "", lambda: False)

    def shutdown(self) -> None: ...

    def end(self) -> None: ...


def encoded(answer: Any) -> bytes:
    return json.dumps(answer).encode()


def asked(*lines: bytes) -> Any:
    """A worker that answers with these lines, and is asked for the artefact `m` first."""
    launch = WorkerClient(
        Scripted(*lines),  # type: ignore[arg-type]
        runner="onnxruntime",
        settings=RunSettings(),
        timeout_seconds=1.0,
    )
    launch.__enter__()
    return launch, launch.load("m", Artefact(Path("m.onnx"), "0" * 64, 1))


def read_hello(line: bytes) -> None:
    asked(line, encoded(LOADED))


def read_loaded(line: bytes) -> None:
    _, loaded = asked(encoded(HELLO), line)
    assert loaded.load_seconds >= 0
    assert math.isfinite(loaded.output_checksum)


def read_block(line: bytes) -> None:
    launch, _ = asked(encoded(HELLO), encoded(LOADED), line)
    block = launch.run("m", iterations=2, warmup=1)
    assert len(block.wall_seconds) == len(block.cpu_seconds) == 2
    assert min(block.wall_seconds) > 0


def read_output(line: bytes) -> None:
    launch, _ = asked(encoded(HELLO), encoded(LOADED), line)
    assert launch.output("m").dtype == np.float32


def read_operators(line: bytes) -> None:
    launch, _ = asked(encoded(HELLO), encoded(LOADED), line)
    assert all(operator.seconds >= 0 for operator in launch.operators("m", iterations=1))


def read_facts(line: bytes) -> None:
    facts = RemoteFacts.from_json(parse_line(line))
    assert all(text.isprintable() for text in facts.platform.values())


def read_state(line: bytes) -> None:
    parse_state(parse_line(line))


ANSWERS: dict[str, tuple[Any, Callable[[bytes], None]]] = {
    "hello": (HELLO, read_hello),
    "loaded": (LOADED, read_loaded),
    "block": (BLOCK, read_block),
    "output": (OUTPUT, read_output),
    "operators": (OPERATORS, read_operators),
    "facts": (FACTS, read_facts),
    "state": (STATE, read_state),
}


def read(path: Path) -> None:
    _, reader = ANSWERS[path.stem]
    # a channel hands on what stands before the end of a line
    line = path.read_bytes().split(b"\n")[0]
    with suppress(LaunchFailure, ProtocolError):  # the device's failure, which is recorded
        reader(line)


@pytest.mark.parametrize(
    "name", ["hello", "loaded", "block", "output", "operators", "facts", "state"]
)
def test_an_answer_that_is_sound_is_read(name: str) -> None:
    answer, reader = ANSWERS[name]
    reader(encoded(answer))


def test_a_damaged_answer_is_read_or_is_a_failure(tmp_path: Path) -> None:
    samples = {f"{name}.json": encoded(answer) for name, (answer, _) in ANSWERS.items()}
    check_reader(Reader("answers", samples, read, mutations=700), tmp_path / "files")
