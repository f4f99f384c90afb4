"""The core of the timing worker, in a process of its own; `main` answers its requests.

The files of this folder need the standard library and numpy, and run on Python 3.9. They and one
runner are all that runs on a device, and are sent to it as they are (program.py).

Requests are JSON lines on stdin, each answered by one JSON line on stdout:

    {"do": "hello", "affinity": [0], "memory_share"}  -> versions, pid
    {"do": "load", "key", "path", "runner", "settings", "vocabulary_size"}
                                                      -> the fields of `Loaded`, `builds`
    {"do": "run", "key", "iterations", "warmup", "limit_seconds"} -> the fields of `Block`
    {"do": "output", "key"}                           -> shape, float32 values as base64
    {"do": "operators", "key", "iterations"}          -> `operators`: fields of `OperatorTime`
    {"do": "tokenise", "vocabulary", "text", "sequence_length", "iterations"}
                                                      -> the fields of `Block`
    {"do": "bye"}                                     -> {}

A failure is answered by {"cause", "detail"}. The process ends with its stdin. It is ended by the
signal SIGALRM where an iteration takes longer than `limit_seconds`.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import platform
import select
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.devices.worker.core.inputs import make_feed, make_inputs, vocabulary_of
from atb.devices.worker.core.interface import (
    Arrays,
    Model,
    ModelClass,
    ModelFile,
    Operator,
    WorkerError,
)
from atb.devices.worker.core.memory import forget_peak, limit_memory, memory_of
from atb.devices.worker.core.timing import SLEEPERS, measure

#: How many token ids a foreign model is fed that does not know those it was fed first.
_FEWER_TOKENS = (2, 1)
#: Calls of the tokeniser before it is timed.
_TOKENISER_WARMUP = 3
_DETAIL_CHARACTERS = 2000  # of what a runtime says
_SHORT_OF_MEMORY = ("bad_alloc", "bad allocation", "allocate memory", "out of memory")


def load_runner(source: str) -> dict[str, ModelClass]:
    """The model classes of a runner, by the names of its runtimes."""
    module = types.ModuleType("atb_runner")
    sys.modules[module.__name__] = module
    exec(compile(source, "atb_runner.py", "exec"), module.__dict__)  # noqa: S102 - ours, sent along
    runtimes: dict[str, ModelClass] = module.RUNTIMES
    return runtimes


class Worker:
    """Answers requests; keeps the loaded models.

    Args:
        runtimes: The model classes of the runner, by runtime.
    """

    def __init__(self, runtimes: Mapping[str, ModelClass]) -> None:
        self._runtimes = runtimes
        self._models: dict[str, tuple[Model, Mapping[str, Any]]] = {}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request asks for."""
        arguments = {name: value for name, value in request.items() if name != "do"}
        answer: dict[str, Any] = getattr(self, f"do_{request['do']}")(**arguments)
        return answer

    def do_hello(
        self, affinity: list[int] | None = None, memory_share: float | None = None
    ) -> dict[str, Any]:
        """Pin this process before any runtime makes threads, and tell its versions."""
        if affinity is not None:
            os.sched_setaffinity(0, affinity)
        if memory_share is not None:
            limit_memory(memory_share)
        return {"pid": os.getpid(), "python": platform.python_version(), "numpy": np.__version__}

    def do_load(
        self,
        key: str,
        path: str,
        runner: str,
        settings: Mapping[str, Any],
        vocabulary_size: int | None = None,
    ) -> dict[str, Any]:
        """Make a model ready and run it once.

        Args:
            key: Its name from now on.
            path: The file of the model.
            runner: The name of the runtime.
            settings: The fields of `RunSettings`.
            vocabulary_size: How many token ids it is fed at most; None for as many as it knows.
        """
        if runner not in self._runtimes:
            raise WorkerError("load-error", f"this worker has no runtime {runner!r}")
        make = self._runtimes[runner]
        started = time.perf_counter()
        os.environ.update(getattr(make, "environment", {}))  # read by libraries as they load
        try:
            importlib.import_module(make.library)
            imported = time.perf_counter()
            # the library's own memory is not the model's
            memory = memory_of("VmRSS") if forget_peak() else None
            begun = time.perf_counter()
            model = make(ModelFile(path, settings))
            known = vocabulary_of(model.vocabulary_size, vocabulary_size)
            arrays = _feed(model, settings, known)
            loaded = time.perf_counter()
            outputs, first_seconds, fed = _first_run(model, settings, known, arrays)
        except (MemoryError, WorkerError):
            raise
        except Exception as error:  # runtimes raise classes of their own
            raise WorkerError(_cause(error, "load-error"), _describe(error)) from error
        peak = None if memory is None else memory_of("VmHWM")
        checksum = _checksum_of(outputs)
        self._models[key] = model, settings
        fewer = [f"token ids below {fed}"] * (fed < known)
        return {
            "load_seconds": imported - started + loaded - begun,
            "first_seconds": first_seconds,
            "providers": [*model.providers, *fewer],
            "builds": dict(model.builds),
            "output_checksum": checksum,
            "memory_bytes": None if peak is None or memory is None else max(0, peak - memory),
            "vocabulary_size": fed,
        }

    def do_run(
        self, key: str, iterations: int, warmup: int, limit_seconds: float = 0.0
    ) -> dict[str, Any]:
        """Run one block, in the scenario that the settings of the model ask for."""
        model, settings = self._loaded(key)
        return measure(model, iterations, warmup, settings, limit_seconds)

    def do_output(self, key: str) -> dict[str, Any]:
        """The first output that is numbers, exactly."""
        numbers = _numbers_of(self._loaded(key)[0]())
        if numbers is None:
            raise WorkerError("wrong-output", "no output of the model is made of numbers")
        output = np.ascontiguousarray(numbers, dtype="<f4")
        values = base64.b64encode(output.tobytes()).decode("ascii")
        return {"shape": list(output.shape), "values": values}

    def do_operators(self, key: str, iterations: int) -> dict[str, Any]:
        """Where the time of a model goes."""
        model, _ = self._loaded(key)
        tell = getattr(model, "operators", None)
        if tell is None:
            raise WorkerError("load-error", "this runtime does not tell what its operators take")
        return {"operators": _operators(tell(iterations), iterations)}

    def do_tokenise(
        self,
        vocabulary: str,
        text: str,
        sequence_length: int,
        iterations: int,
        limit_seconds: float = 0.0,
    ) -> dict[str, Any]:
        """Time the splitting of a text into exactly so many tokens."""
        try:
            from tokenizers import BertWordPieceTokenizer
        except ImportError as error:
            detail = "the package tokenizers is not installed there; run `pip install tokenizers`"
            raise WorkerError("load-error", detail) from error
        try:
            tokenizer = BertWordPieceTokenizer(vocabulary)
            tokenizer.enable_truncation(sequence_length)
            tokenizer.enable_padding(length=sequence_length)
            tokens = len(tokenizer.encode(text))
        except Exception as error:  # the library raises nothing narrower
            raise WorkerError("load-error", f"{vocabulary}: {_describe(error)}") from error
        if tokens != sequence_length:
            raise WorkerError("load-error", f"{tokens} tokens came of {sequence_length}")
        return measure(
            lambda: tokenizer.encode(text),
            iterations,
            _TOKENISER_WARMUP,
            limit_seconds=limit_seconds,
        )

    def _loaded(self, key: str) -> tuple[Model, Mapping[str, Any]]:
        if key not in self._models:
            raise WorkerError("load-error", f"nothing is loaded under {key!r}")
        return self._models[key]


def _feed(model: Model, settings: Mapping[str, Any], vocabulary_size: int) -> Arrays:
    """Give a model its arrays, of so many token ids; the arrays."""
    if model.inputs is None:
        arrays = make_inputs(vocabulary_size, settings["batch"], settings["sequence_length"])
    else:
        arrays = make_feed(model.inputs, settings, vocabulary_size)
    model.feed(arrays)
    return arrays


def _first_run(
    model: Model, settings: Mapping[str, Any], known: int, arrays: Arrays
) -> tuple[Any, float, int]:
    """Run a model once, of fewer token ids where it does not know the `known` that it was fed.

    Returns:
        Its outputs, the seconds that the run took, and how many token ids it was fed then.
    """
    failure: Exception | None = None
    fewer = () if model.inputs is None else _FEWER_TOKENS
    for vocabulary_size in (known, *(size for size in fewer if size < known)):
        if vocabulary_size < known:
            arrays = _feed(model, settings, vocabulary_size)
        begun = time.perf_counter()
        try:
            outputs = model()
        except Exception as error:  # runtimes raise classes of their own
            if _cause(error, "crash") == "out-of-memory":
                raise
            failure = error  # the last one is of ids that every model knows
            continue
        return outputs, time.perf_counter() - begun, vocabulary_size
    assert failure is not None
    if model.inputs is None:
        raise failure
    listed = ", ".join(f"{name[:40]} {v.dtype} {list(v.shape)}" for name, v in arrays.items())
    raise WorkerError(
        "load-error",
        f"{_describe(failure)[:300]}; it was fed {listed[:200]}: maybe it wants another "
        "--sequence-length or --batch",
    ) from failure


def _numbers_of(output: Any) -> npt.NDArray[Any] | None:
    """The first part of an output that is numbers; None where there is none.

    An output may also be texts, missing, or a sequence or a map of outputs.
    """
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        if output and all(isinstance(part, (bool, int, float)) for part in output):
            return np.asarray(output, np.float64)
        parts = (_numbers_of(part) for part in output)
        return next((numbers for numbers in parts if numbers is not None), None)
    found = np.asarray(output)
    return found if found.dtype.kind in "biuf" and found.size else None


def _checksum_of(outputs: Any) -> float:
    """The sum of the first output that is numbers; zero where there is none.

    Infinite values are left out, with which models exclude what may not be chosen.
    """
    numbers = _numbers_of(outputs)
    if numbers is None:
        return 0.0
    with np.errstate(all="ignore"):
        total = float(np.sum(numbers, dtype=np.float64))
        if np.isfinite(total):
            return total
        finite = np.isfinite(numbers)
        if np.isnan(numbers).any() or not finite.any():
            raise WorkerError("wrong-output", "the output holds values that are not finite")
        return float(np.nan_to_num(np.sum(numbers, dtype=np.float64, where=finite)))


def _operators(found: Sequence[Operator], iterations: int) -> list[dict[str, Any]]:
    """The fields of `OperatorTime`, the longest first."""
    total = sum(taken for _, _, taken, _ in found) or 1  # all may take less than is resolved
    rows = [
        {
            "operator": operator,
            "name": name,
            "seconds": taken / 1e6 / iterations,
            "count": round(count / iterations),
            "share": taken / total,
        }
        for operator, name, taken, count in found
    ]
    return sorted(rows, key=lambda row: -row["seconds"])


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(": \n")


def _cause(error: Exception, otherwise: str) -> str:
    """Runtimes report a failed allocation as an error of their own."""
    text = str(error).lower()
    short = isinstance(error, MemoryError) or any(words in text for words in _SHORT_OF_MEMORY)
    return "out-of-memory" if short else otherwise


def _end_with_the_parent(stdin: int) -> None:
    """Wait, asleep in the kernel, until the parent is gone, even in the middle of a block."""
    SLEEPERS.add(threading.get_native_id())
    poll = select.poll()
    poll.register(stdin, 0)  # no event is asked for: only a hang-up wakes it
    poll.poll()
    os._exit(0)


def main(runner: str) -> None:
    """Answer requests until there are no more.

    Args:
        runner: The source of a runner.
    """
    # libraries may print: what they believe to be stdout becomes stderr
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # libraries report their use over the network: onnxruntime unless it is told not to before it
    # is imported, and openvino unless this package is missing
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    if hasattr(select, "poll"):
        threading.Thread(target=_end_with_the_parent, args=(0,), daemon=True).start()
    worker = Worker(load_runner(runner))
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "bye":
            break
        try:
            reply = worker.answer(request)
        except WorkerError as error:
            reply = {"cause": error.cause, "detail": str(error)[-_DETAIL_CHARACTERS:]}
        except Exception as error:  # noqa: BLE001 - the parent gets a record, not a traceback
            reply = {
                "cause": _cause(error, "crash"),
                "detail": _describe(error)[-_DETAIL_CHARACTERS:],
            }
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
