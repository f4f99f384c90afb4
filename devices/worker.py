"""The timing worker: one file that runs alone, `python -P worker.py`, in a process of its own.

It needs the standard library, numpy and a runtime, so that this very file is what is sent to a
board. Requests are JSON lines on stdin, each answered by one JSON line on stdout:

    {"do": "hello", "affinity": [0]}                  -> versions, pid
    {"do": "load", "key", "path", "runner", "settings"} -> the fields of `Loaded`
    {"do": "run", "key", "iterations", "warmup"}      -> the fields of `Block`
    {"do": "output", "key"}                           -> shape, float32 values as base64
    {"do": "bye"}                                     -> {}

A failure is answered by {"cause", "detail"}. The process ends with its stdin.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import platform
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]

__all__ = ["UNKNOWN_VOCABULARY", "VOCABULARY_KEY", "make_inputs", "make_tokens"]

#: Where our graphs say how many tokens they know, in the model's metadata.
VOCABULARY_KEY = "vocabulary_size"
#: What a foreign model that does not say so surely knows.
UNKNOWN_VOCABULARY = 100

Feed = dict[str, npt.NDArray[Any]]


class WorkerError(Exception):
    """A request that cannot be done, with its cause."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class Model(Protocol):
    """Something loaded that can be run again and again."""

    providers: tuple[str, ...]

    def __call__(self) -> npt.NDArray[Any]:
        """Run one inference on the fixed input; the first output."""


def make_tokens(vocabulary_size: int, batch: int, sequence_length: int) -> npt.NDArray[np.int64]:
    """The same token ids on every machine, scattered over the vocabulary: [batch, sequence]."""
    count = batch * sequence_length
    # 7919 is a prime, so neighbouring tokens lie far apart and few repeat
    tokens = np.arange(1, count + 1, dtype=np.int64) * 7919 % vocabulary_size
    return tokens.reshape(batch, sequence_length)


def make_inputs(vocabulary_size: int, batch: int, sequence_length: int) -> Feed:
    """The fixed input of the default graph: three int64 arrays [batch, sequence]."""
    tokens = make_tokens(vocabulary_size, batch, sequence_length)
    return {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "token_type_ids": np.zeros_like(tokens),
    }


class OnnxRuntimeModel:
    """A model in onnxruntime on the CPU."""

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3  # errors only
        # spinning threads would count as busy and disturb their neighbours
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.providers = tuple(self._session.get_providers())
        metadata = self._session.get_modelmeta().custom_metadata_map
        vocabulary_size = int(metadata.get(VOCABULARY_KEY, UNKNOWN_VOCABULARY))
        shape = (settings["batch"], settings["sequence_length"])
        self._feed = {
            node.name: _fill(node.name, node.type, node.shape, make_tokens(vocabulary_size, *shape))
            for node in self._session.get_inputs()
        }

    def __call__(self) -> npt.NDArray[Any]:
        output: npt.NDArray[Any] = self._session.run(None, self._feed)[0]
        return output


_ELEMENT_TYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
}


def _fill(
    name: str, kind: str, shape: list[Any], tokens: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """An input of a BERT-like model, by what its name says."""
    if kind not in _ELEMENT_TYPES or len(shape) != 2:
        raise WorkerError(
            "load-error", f"input {name!r} is {kind} {shape}; [batch, sequence] of tokens is wanted"
        )
    for size, wanted in zip(shape, tokens.shape, strict=True):
        if isinstance(size, int) and size != wanted:
            raise WorkerError(
                "load-error", f"input {name!r} has the fixed shape {shape}, not {[*tokens.shape]}"
            )
    if "mask" in name:
        values = np.ones_like(tokens)
    elif "type" in name or "segment" in name:
        values = np.zeros_like(tokens)
    elif "position" in name:
        values = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    else:
        values = tokens
    return np.ascontiguousarray(values, dtype=_ELEMENT_TYPES[kind])


RUNNERS: dict[str, Callable[[str, Mapping[str, Any]], Model]] = {"onnxruntime": OnnxRuntimeModel}


def _switches() -> tuple[int, int]:
    """Voluntary and involuntary context switches of this thread; zeros where it is not told."""
    if resource is None or not hasattr(resource, "RUSAGE_THREAD"):
        return 0, 0
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_nvcsw, usage.ru_nivcsw


def measure(model: Callable[[], Any], iterations: int, warmup: int) -> dict[str, Any]:
    """Time `iterations` calls one by one, after `warmup` calls that are kept apart.

    The clocks are read innermost and nothing is printed or collected between the readings.
    """
    wall, cpu = [0] * (warmup + iterations), [0] * (warmup + iterations)  # nanoseconds
    switches = [(0, 0)] * (warmup + iterations + 1)
    started_at = time.time()
    gc.collect()
    gc.disable()
    try:
        for i in range(warmup + iterations):
            if i == warmup:
                started_at = time.time()
            switches[i] = _switches()
            cpu_before = time.thread_time_ns()
            wall_before = time.perf_counter_ns()
            model()
            wall[i] = time.perf_counter_ns() - wall_before
            cpu[i] = time.thread_time_ns() - cpu_before
        switches[-1] = _switches()
    finally:
        gc.enable()
    timed = list(zip(switches[warmup:], switches[warmup + 1 :], strict=False))
    return {
        "started_at": started_at,
        "wall_seconds": [nanoseconds / 1e9 for nanoseconds in wall[warmup:]],
        "cpu_seconds": [nanoseconds / 1e9 for nanoseconds in cpu[warmup:]],
        "voluntary_switches": [after[0] - before[0] for before, after in timed],
        "involuntary_switches": [after[1] - before[1] for before, after in timed],
        "warmup_seconds": [nanoseconds / 1e9 for nanoseconds in wall[:warmup]],
    }


class Worker:
    """Answers requests; keeps the loaded models."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request asks for."""
        arguments = {name: value for name, value in request.items() if name != "do"}
        answer: dict[str, Any] = getattr(self, f"do_{request['do']}")(**arguments)
        return answer

    def do_hello(self, affinity: list[int] | None = None) -> dict[str, Any]:
        """Pin this process before any runtime makes threads, and say who answers."""
        if affinity is not None:
            os.sched_setaffinity(0, affinity)
        return {"pid": os.getpid(), "python": platform.python_version(), "numpy": np.__version__}

    def do_load(
        self, key: str, path: str, runner: str, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make a model ready and run it once."""
        started = time.perf_counter()
        try:
            model = RUNNERS[runner](path, settings)
            loaded = time.perf_counter()
            output = model()
        except (MemoryError, WorkerError):
            raise
        except Exception as error:  # runtimes raise classes of their own
            raise WorkerError(_cause(error, "load-error"), _describe(error)) from error
        checksum = float(np.sum(output, dtype=np.float64))
        finished = time.perf_counter()
        if not np.isfinite(checksum):
            raise WorkerError("wrong-output", "the output holds values that are not finite")
        self._models[key] = model
        return {
            "load_seconds": loaded - started,
            "first_seconds": finished - loaded,
            "providers": list(model.providers),
            "output_checksum": checksum,
        }

    def do_run(self, key: str, iterations: int, warmup: int) -> dict[str, Any]:
        """Run one block."""
        return measure(self._model(key), iterations, warmup)

    def do_output(self, key: str) -> dict[str, Any]:
        """The first output, exactly."""
        output = np.ascontiguousarray(self._model(key)(), dtype="<f4")
        values = base64.b64encode(output.tobytes()).decode("ascii")
        return {"shape": list(output.shape), "values": values}

    def _model(self, key: str) -> Model:
        if key not in self._models:
            raise WorkerError("load-error", f"nothing is loaded under {key!r}")
        return self._models[key]


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(": \n")


def _cause(error: Exception, otherwise: str) -> str:
    """Runtimes report a failed allocation as an error of their own."""
    text = str(error).lower()
    short = isinstance(error, MemoryError) or "bad_alloc" in text or "allocate memory" in text
    return "out-of-memory" if short else otherwise


def _end_with_the_parent(stdin: int) -> None:
    """Wait, asleep in the kernel, until the parent is gone, even in the middle of a block."""
    poll = select.poll()
    poll.register(stdin, 0)  # no event is asked for: only a hang-up wakes it
    poll.poll()
    os._exit(0)


def main() -> None:
    """Answer requests until there are no more."""
    # libraries may print: what they believe to be stdout becomes stderr
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if hasattr(select, "poll"):
        threading.Thread(target=_end_with_the_parent, args=(0,), daemon=True).start()
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "bye":
            break
        try:
            reply = worker.answer(request)
        except WorkerError as error:
            reply = {"cause": error.cause, "detail": str(error)}
        except Exception as error:  # noqa: BLE001 - the parent gets a record, not a traceback
            reply = {"cause": _cause(error, "crash"), "detail": _describe(error)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
