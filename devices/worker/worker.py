"""The timing worker: one file that runs alone, `python -P worker.py`, in a process of its own.

It needs the standard library, numpy and a runtime, so that this very file is what is sent to a
board. Requests are JSON lines on stdin, each answered by one JSON line on stdout:

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
import contextlib
import functools
import gc
import importlib
import json
import math
import os
import platform
import queue
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

try:
    import resource
except ImportError:  # no Unix
    resource = None  # type: ignore[assignment]

__all__ = ["ENCODER_KEY", "UNKNOWN_VOCABULARY", "VOCABULARY_KEY", "make_inputs", "make_tokens"]

#: Where our graphs say how many tokens they know, in the model's metadata.
VOCABULARY_KEY = "vocabulary_size"
#: Where a file of bare weights says how many layers, heads and tokens they are.
ENCODER_KEY = "encoder"
#: How many token ids a foreign model that does not say so most likely knows, and how many those
#: know that are fed again because they do not.
UNKNOWN_VOCABULARY = 100
_FEWER_TOKENS = (2, 1)

#: Calls of the tokeniser before it is timed.
_TOKENISER_WARMUP = 3

Feed = dict[str, npt.NDArray[Any]]


class WorkerError(Exception):
    """A request that cannot be done, with its cause."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class Model(Protocol):
    """Something loaded that can be run again and again, by several threads at the same time.

    Its class names the `library` that is imported and the `distributions` that bring it, and maybe
    variables of the `environment` that the library reads as it is imported. One that serves models
    of other people has a `feed` and a method `fill`, which makes another feed of fewer token ids.
    """

    providers: tuple[str, ...]
    builds: dict[str, str]
    vocabulary_size: int  # of the token ids that it is fed

    def __call__(self) -> Any:
        """Run one inference on the fixed input; its outputs, whatever they are."""


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
    """A model in onnxruntime, all of it computed by the provider that was asked for.

    Where a provider is not there, or leaves operators out, onnxruntime computes them on the CPU and
    says nothing. Here either is a load error, since the time would be nobody's.
    """

    library = "onnxruntime"
    distributions: tuple[str, ...] = ("onnxruntime", "onnxruntime-gpu")
    wanted = "CPUExecutionProvider"
    #: What the provider is told.
    wanted_options: Mapping[str, str] = {}
    #: `ORT` or `ONNX`, where no other format will do.
    file_format: str | None = None

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import onnxruntime

        # the commit and the options that it was built with
        told = getattr(onnxruntime, "get_build_info", lambda: "")()
        self.builds = {"onnxruntime": f"{onnxruntime.__version__} {told}".strip()}
        self._path = path
        self._threads = settings["threads"]
        self._session = self._open()
        # the session's own list ends with the CPU even where it may compute nothing
        self.providers = (self.wanted,)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._settings = settings
        self._inputs = [
            Input(node.name, node.type, list(node.shape)) for node in self._session.get_inputs()
        ]
        self.fill(vocabulary_of(metadata.get(VOCABULARY_KEY), settings))

    def fill(self, vocabulary_size: int) -> None:
        """Make the feed, of so many token ids."""
        self.vocabulary_size = vocabulary_size
        self.feed = make_feed(self._inputs, self._settings, vocabulary_size)

    def _open(self, profile: str | None = None) -> Any:
        """A session; one that writes a profile is not for timing."""
        import onnxruntime

        if self.wanted not in onnxruntime.get_available_providers():
            raise self._refusal("CPUExecutionProvider", "this build of onnxruntime lacks it")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3  # errors only
        # spinning threads would count as busy and disturb their neighbours
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self.wanted != "CPUExecutionProvider":
            # otherwise operators that the provider does not have go to the CPU one by one
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if self.file_format is not None:
            options.add_session_config_entry("session.load_model_format", self.file_format)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        session = onnxruntime.InferenceSession(
            self._path,
            options,
            providers=[(self.wanted, dict(self.wanted_options))],
            enable_fallback=False,  # else a provider that fails is replaced by the CPU
        )
        came = session.get_provider_options()
        if self.wanted not in came:
            raise self._refusal(", ".join(came), "libraries that it needs do not load here")
        for name, value in self.wanted_options.items():
            got = came[self.wanted].get(name)
            if got != value:
                detail = f"{self.wanted} was asked for with {name}={value} and came with {got}"
                raise WorkerError("load-error", detail)
        return session

    def _refusal(self, came: str, why: str) -> WorkerError:
        return WorkerError("load-error", f"{self.wanted} was asked for and {came} came: {why}")

    def __call__(self) -> Any:
        return self._session.run(None, self.feed)

    def operators(self, iterations: int) -> list[dict[str, Any]]:
        """What each operator takes, after one run of warm-up."""
        with tempfile.TemporaryDirectory() as folder:
            session = self._open(str(Path(folder) / "profile"))
            for _ in range(1 + iterations):
                session.run(None, self.feed)
            events = json.loads(Path(session.end_profiling()).read_bytes())
        return _operators(events, iterations)


class Input(NamedTuple):
    """An input of a model: its name, its type such as `tensor(int64)`, and its shape.

    A free axis is a name, or None.
    """

    name: str
    kind: str
    shape: list[Any]


_ELEMENT_TYPES = {
    **{
        f"tensor({kind}{bits})": np.dtype(f"{kind}{bits}")
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    "tensor(float16)": np.dtype(np.float16),
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(bool)": np.dtype(np.bool_),
}
#: What an input is for, by words in its name, the first that fits.
_ROLES = (
    ("other", ("unique", "label", "masked_lm_weight", "past", "cache", "global_attention")),
    ("heads", ("head_mask",)),
    ("positions", ("position",)),
    ("tokens", ("masked_lm_ids",)),
    ("mask", ("mask",)),
    ("segments", ("type", "segment")),
    ("length", ("length",)),
    ("tokens", ("ids", "token", "word")),
)
#: Roles whose shape must be the one that was asked for.
_OF_THE_TEXT = ("tokens", "mask", "segments", "positions")
_CHOICES = 2  # of a multiple choice, where the model takes any number


def vocabulary_of(told: Any, settings: Mapping[str, Any]) -> int:
    """How many token ids a model is fed: those that it says it knows, if it was not to be fewer."""
    text = str(told)
    known = int(text) if text.isdecimal() and int(text) > 0 else UNKNOWN_VOCABULARY
    return min(known, settings.get("vocabulary_size") or known)


def _role(given: Input) -> str:
    name = given.name.lower()
    fitting = (role for role, words in _ROLES if any(word in name for word in words))
    return next(fitting, "nameless")


def make_feed(inputs: Sequence[Input], settings: Mapping[str, Any], vocabulary_size: int) -> Feed:
    """What a BERT-like model of anybody is fed, by what its inputs are called.

    The first input of tokens gets them, or the first of whole numbers whose name says nothing.
    Further ones of those get ones, which serve as a mask as well as as a segment.

    Args:
        inputs: In the order in which the model has them.
        settings: The fields of `RunSettings`.
        vocabulary_size: How many token ids there are.
    """
    roles = {given.name: _role(given) for given in inputs}
    whole = [given for given in inputs if "int" in given.kind]
    rows = [given for given in whole if len(given.shape) != 1]
    if any(roles[given.name] in ("tokens", "nameless") for given in rows):
        # beside rows of tokens, what has one number for each is the name of an example
        roles |= {g.name: "other" for g in whole if g not in rows and roles[g.name] == "tokens"}
    rows_first = sorted(whole, key=lambda given: given not in rows)
    nameless = [given.name for given in rows_first if roles[given.name] == "nameless"]
    if "tokens" not in roles.values() and nameless:
        roles[nameless[0]] = "tokens"
    axes: dict[str, int] = {}
    first = sorted(inputs, key=lambda given: roles[given.name] != "tokens")
    feed = {
        given.name: _fill(given, roles[given.name], axes, settings, vocabulary_size)
        for given in first
    }
    return {given.name: feed[given.name] for given in inputs}


def _fill(
    given: Input,
    role: str,
    axes: dict[str, int],
    settings: Mapping[str, Any],
    vocabulary_size: int,
) -> npt.NDArray[Any]:
    """The values of one input, of which all axes of the same name are equally long."""
    name, kind, _ = given
    if kind not in _ELEMENT_TYPES:
        raise WorkerError(
            "load-error",
            f"input {name!r} takes {kind}, and only numbers can be filled in: export the model "
            "so that it begins with the ids of tokens",
        )
    dtype, length = _ELEMENT_TYPES[kind], settings["sequence_length"]
    sizes = _sizes(given, role, axes, settings)
    values: npt.NDArray[Any]
    if role == "tokens":
        most = min(vocabulary_size, np.iinfo(dtype).max) if dtype.kind in "iu" else vocabulary_size
        values = make_tokens(most, 1, math.prod(sizes)).reshape(sizes)
    elif role == "positions":
        values = np.broadcast_to(np.arange(sizes[-1] if sizes else 1), sizes)
    elif role in ("segments", "other"):
        values = np.zeros(sizes)
    elif role == "length":
        values = np.full(sizes, length)
    elif dtype.kind == "f" and len(sizes) > 2 and role == "nameless":  # embeddings, or a picture
        values = (np.arange(math.prod(sizes)) % 7919 / 7919 - 0.5).reshape(sizes)
    elif role == "nameless" and dtype.kind in "iu":  # a mask, or one of the fewest tokens
        values = np.full(sizes, min(1, vocabulary_size - 1))
    else:
        values = np.ones(sizes)
    return np.ascontiguousarray(values, dtype=dtype)


def _sizes(given: Input, role: str, axes: dict[str, int], settings: Mapping[str, Any]) -> list[int]:
    """The shape of an input."""
    batch, length = settings["batch"], settings["sequence_length"]
    shape = given.shape
    if not shape and role in _OF_THE_TEXT:  # of any rank
        shape = [None, None]
    usual = _usual_sizes(role, len(shape), batch, length)
    sizes = []
    for axis, size in enumerate(shape):
        fixed = _is_fixed(size)
        name = str(size or "")
        if axis == 0 and _says_length(name) and len(shape) > 1 and not _is_turned(shape):
            name = ""  # which says the same as the last axis: it is the usual one
        found = size if fixed else _size_of_axis(name, axes, batch, length, usual[axis])
        if found is None:
            raise WorkerError(
                "load-error",
                f"input {given.name!r} has the shape {shape}, of which the length of axis {axis} "
                "is not known: fix it when you export the model",
            )
        if not fixed and any(map(str.isalpha, str(size or ""))):
            axes.setdefault(str(size), found)
        sizes.append(found)
    if role in _OF_THE_TEXT:
        _check_fixed(given, role, settings)
    return sizes


def _usual_sizes(role: str, rank: int, batch: int, length: int) -> list[int | None]:
    """What free axes are, where their names do not say it."""
    if rank == 1:
        return [length if role in ("tokens", "mask", "segments") else batch]
    if rank == 2:
        return [batch, length]
    if role in _OF_THE_TEXT:  # the choices of each row; heads, and who is shown to whom
        return [batch, _CHOICES if rank == 3 else 1, *[length] * (rank - 2)]
    return [batch, length if rank == 3 else None, *[None] * (rank - 2)][:rank]


def _size_of_axis(
    name: str, axes: Mapping[str, int], batch: int, length: int, usual: int | None
) -> int | None:
    """How long a free axis is, by its name."""
    word = name.lower()
    if name in axes:
        return axes[name]
    if "past" in word and "+" not in word:  # nothing was said before
        return 0
    if "batch" in word:
        return batch
    if "choice" in word:
        return _CHOICES
    return length if _says_length(name) else usual


def _says_length(axis: Any) -> bool:
    """Whether an axis has a name that is one of sequences' lengths."""
    return any(word in str(axis).lower() for word in ("seq", "len", "token", "time"))


def _is_turned(shape: Sequence[Any]) -> bool:
    """Whether the axis of a sequence stands first, before that of the batch."""
    return len(shape) > 1 and _says_length(shape[0]) and not _says_length(shape[-1])


def _is_fixed(size: Any) -> bool:
    return isinstance(size, int) and size >= 0


def _check_fixed(given: Input, role: str, settings: Mapping[str, Any]) -> None:
    """Fixed axes must be what was asked for, or latencies would be those of other inputs."""
    shape, helps = given.shape, []
    if len(shape) == 1 and role != "tokens":  # one number for each sequence
        return
    batch, length = (shape[:1], shape[-1:]) if not _is_turned(shape) else (shape[-1:], shape[:1])
    if len(shape) == 1:
        batch = [1]
    for option, axis, wanted in (
        ("batch", batch, settings["batch"]),
        ("sequence-length", length, settings["sequence_length"]),
    ):
        broadcast = option == "batch" and axis == [1] and role != "tokens"
        partial = option != "batch" and "masked" in given.name.lower()  # a few of the tokens
        if axis and _is_fixed(axis[0]) and axis[0] != wanted and not broadcast and not partial:
            helps.append(f"--{option} {axis[0]}")
    if helps:
        asked = [settings["batch"], settings["sequence_length"]]
        raise WorkerError(
            "load-error",
            f"input {given.name!r} has the fixed shape {shape}, not {asked}: give "
            f"{' '.join(helps)}",
        )


def _operators(events: list[dict[str, Any]], iterations: int) -> list[dict[str, Any]]:
    """The fields of `OperatorTime` from the trace of onnxruntime, whose times are microseconds."""
    warm = min(event["ts"] + event["dur"] for event in events if event["name"] == "model_run")
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event["cat"] == "Node" and "op_name" in event["args"] and event["ts"] >= warm:
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault((event["args"]["op_name"], name), []).append(event["dur"])
    return _rows(times, iterations)


class OnnxRuntimeOrtModel(OnnxRuntimeModel):
    """A model in onnxruntime's own format, which is all that its small mobile builds read."""

    file_format = "ORT"


class OnnxRuntimeCudaModel(OnnxRuntimeModel):
    """A model in onnxruntime on a GPU of NVIDIA."""

    distributions = ("onnxruntime-gpu",)
    wanted = "CUDAExecutionProvider"
    # its default rounds the factors of fp32 products to ten bits
    wanted_options: Mapping[str, str] = {"use_tf32": "0"}


class OpenVinoModel:
    """A model in OpenVINO on the CPU, in the precision that was asked for.

    Its default is the fastest precision that the processor has, bf16 on new ones. An inference is
    computed by the thread that calls, and by others of the library where there shall be several.
    Streams have a copy of the plan each, and threads of their own.
    """

    library = "openvino"
    distributions = ("openvino",)

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import openvino

        self.builds = {"openvino": openvino.get_version()}
        self._threads, self._streams = settings["threads"], settings.get("streams", 1)
        self._core = openvino.Core()
        # Of any batch and length, as the deployed model is; reshaped to one length it would be
        # planned a little better, and serve that length alone.
        self._model = self._core.read_model(path)
        told = None
        if self._model.has_rt_info(["framework", VOCABULARY_KEY]):
            told = self._model.get_rt_info(["framework", VOCABULARY_KEY]).value
        self._settings = settings
        self._inputs = [_openvino_input(node) for node in self._model.inputs]
        self.fill(vocabulary_of(told, settings))
        compiled = self._compile()
        self.providers = self._check(compiled)
        # a request serves one thread at a time
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self._streams):
            self._idle.put(compiled.create_infer_request())

    def fill(self, vocabulary_size: int) -> None:
        """Make the feed, of so many token ids."""
        self.vocabulary_size = vocabulary_size
        self.feed = make_feed(self._inputs, self._settings, vocabulary_size)

    def _compile(self, **more: Any) -> Any:
        wanted = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self._threads * self._streams,
            "NUM_STREAMS": self._streams,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the process is where it was told to be
        }
        return self._core.compile_model(self._model, "CPU", {**wanted, **more})

    def _check(self, compiled: Any) -> tuple[str, ...]:
        """What computes, once it is known to be what was asked for."""
        nodes = compiled.get_runtime_model().get_ops()
        kinds = {str(node.get_rt_info()["runtimePrecision"].value) for node in nodes}
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if precision != "f32" or (kinds := kinds & {"bf16", "f16"}):
            came = ", ".join(sorted(kinds)) or precision
            raise WorkerError("load-error", f"f32 was asked for and {came} came")
        # more streams than there are processors take turns
        streams = compiled.get_property("NUM_STREAMS")
        threads = compiled.get_property("INFERENCE_NUM_THREADS") / streams
        if threads != self._threads or streams > self._streams:
            wanted = f"{self._threads} threads for each of {self._streams} streams"
            came = f"{threads:g} for each of {streams}"
            raise WorkerError("load-error", f"{wanted} were asked for and {came} came")
        return tuple(f"{name} {precision}" for name in compiled.get_property("EXECUTION_DEVICES"))

    def __call__(self) -> Any:
        request = self._idle.get()
        try:
            outputs = request.infer(self.feed, share_inputs=True)  # the outputs are copied
        finally:
            self._idle.put(request)
        return outputs[0]

    def operators(self, iterations: int) -> list[dict[str, Any]]:
        """What each node of the plan takes, after one run of warm-up."""
        request = self._compile(PERF_COUNT=True).create_infer_request()
        times: dict[tuple[str, str], list[float]] = {}
        for iteration in range(1 + iterations):
            request.infer(self.feed)
            for node in request.get_profiling_info() if iteration else ():
                taken = times.setdefault((node.node_type, node.node_name), [])
                taken.append(node.real_time.total_seconds() * 1e6)
        # one that takes less than a microsecond is told as one that does not run
        return _rows({node: taken for node, taken in times.items() if any(taken)}, iterations)


_OPENVINO_TYPES = {
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "f16": "float16",
    "f32": "float",
    "f64": "double",
    "boolean": "bool",
}


def _openvino_input(node: Any) -> Input:
    """An input of OpenVINO's model."""
    kind = node.element_type.get_type_name()
    shape: list[Any] = []
    if node.partial_shape.rank.is_static:
        shape = [axis.get_length() if axis.is_static else str(axis) for axis in node.partial_shape]
    return Input(node.any_name, f"tensor({_OPENVINO_TYPES.get(kind, kind)})", shape)


def _rows(times: Mapping[tuple[str, str], list[float]], iterations: int) -> list[dict[str, Any]]:
    """The fields of `OperatorTime` from microseconds by kind and name, the longest first."""
    total = sum(map(sum, times.values())) or 1  # all of them may take less than is resolved
    rows = [
        {
            "operator": operator,
            "name": name,
            "seconds": sum(taken) / 1e6 / iterations,
            "count": round(len(taken) / iterations),
            "share": sum(taken) / total,
        }
        for (operator, name), taken in times.items()
    ]
    return sorted(rows, key=lambda row: -row["seconds"])


class TorchModel:
    """A BERT encoder in PyTorch on the CPU, operator by operator.

    The file is safetensors (an eight-byte length, a JSON header, raw numbers), read here so that
    PyTorch is all that is needed. What is called is what transformers' `BertModel` calls.
    """

    library = "torch"
    distributions = ("torch",)

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import torch

        torch.set_num_threads(settings["threads"])
        if torch.get_num_threads() != settings["threads"]:
            came = torch.get_num_threads()
            detail = f"{settings['threads']} threads were asked for and {came} came"
            raise WorkerError("load-error", detail)
        self.builds = {"torch": torch.__version__}
        self.providers = ("eager",)
        self._weights, told = _read_safetensors(path)
        self._layers, self._heads = told["layers"], told["heads"]
        shape = (settings["batch"], settings["sequence_length"])
        self.vocabulary_size = vocabulary_of(told[VOCABULARY_KEY], settings)
        feed = make_inputs(self.vocabulary_size, *shape)
        self._feed = {name: torch.from_numpy(values) for name, values in feed.items()}

    def __call__(self) -> Any:
        import torch

        with torch.inference_mode():
            hidden, _ = self._forward(**self._feed)
        return hidden.numpy()

    def _forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> tuple[Any, Any]:
        """The last hidden state [B, S, H] and the pooler's output [B, H]."""
        import torch
        from torch.nn import functional

        w = self._weights

        def linear(values: Any, name: str) -> Any:
            return functional.linear(values, w[f"{name}.weight"], w[f"{name}.bias"])

        def norm(values: Any, name: str) -> Any:
            scale, shift = w[f"{name}.weight"], w[f"{name}.bias"]
            return functional.layer_norm(values, scale.shape, scale, shift, 1e-12)

        def split(values: Any) -> Any:
            return values.unflatten(-1, (self._heads, -1)).transpose(1, 2)  # [B, A, S, D]

        table = "embeddings.{}_embeddings.weight".format
        places = w[table("position")][: input_ids.shape[1]]
        kinds = functional.embedding(token_type_ids, w[table("token_type")])
        hidden = functional.embedding(input_ids, w[table("word")]) + kinds + places
        hidden = norm(hidden, "embeddings.LayerNorm")
        shown = attention_mask[:, None, None, :].bool()
        for layer in range(self._layers):
            own = f"encoder.layer.{layer}"
            query, key, value = (
                split(linear(hidden, f"{own}.attention.self.{part}"))
                for part in ("query", "key", "value")
            )
            context = functional.scaled_dot_product_attention(query, key, value, shown)
            attended = linear(context.transpose(1, 2).flatten(2), f"{own}.attention.output.dense")
            hidden = norm(attended + hidden, f"{own}.attention.output.LayerNorm")
            inner = functional.gelu(linear(hidden, f"{own}.intermediate.dense"))
            hidden = norm(linear(inner, f"{own}.output.dense") + hidden, f"{own}.output.LayerNorm")
        return hidden, torch.tanh(linear(hidden[:, 0], "pooler.dense"))

    def operators(self, iterations: int) -> list[dict[str, Any]]:
        """What each kind of operator takes by itself, after one run of warm-up."""
        from torch.profiler import ProfilerActivity, profile

        self()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(iterations):
                self()
        found = [e for e in profiler.key_averages() if e.self_cpu_time_total > 0]
        total = sum(event.self_cpu_time_total for event in found) or 1
        rows = [
            {
                "operator": event.key.removeprefix("aten::"),
                "name": event.key,
                "seconds": event.self_cpu_time_total / 1e6 / iterations,
                "count": round(event.count / iterations),
                "share": event.self_cpu_time_total / total,
            }
            for event in found
        ]
        return sorted(rows, key=lambda row: -row["seconds"])


def _read_safetensors(path: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Tensors by name, and what the file says of itself."""
    import torch

    content = Path(path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    text = header.pop("__metadata__", {}).get(ENCODER_KEY, "{}")
    told: dict[str, int] = json.loads(text)
    missing = [name for name in ("layers", "heads", VOCABULARY_KEY) if name not in told]
    if missing:
        raise WorkerError("load-error", f"the file does not say its {', '.join(missing)}")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(content[start + begin : start + end], "<f4").reshape(entry["shape"])
        tensors[name] = torch.from_numpy(values.copy())
    return tensors, told


class TorchCompiledModel(TorchModel):
    """The same encoder as code that PyTorch's inductor wrote and compiled for this processor.

    Compiled code lies in the user's own cache, where inductor keeps it by default, so that the
    next launches begin in seconds.
    """

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import torch
        import torch._dynamo as dynamo
        import torch._inductor.config as inductor
        from torch._dynamo.utils import counters

        super().__init__(path, settings)
        dynamo.config.suppress_errors = False  # nothing is computed eagerly instead
        # each model is compiled anew, however many there are
        dynamo.config.recompile_limit = dynamo.config.accumulated_recompile_limit = sys.maxsize
        inductor.compile_threads = 1  # else processes that compile stay beside what is timed
        torch.compiler.set_stance("default")
        self._forward = torch.compile(  # type: ignore[method-assign]
            self._forward,
            backend="inductor",
            fullgraph=True,  # a part that does not compile is an error
            dynamic=False,  # else from the second model on it would be code for any shape
        )
        before = counters["stats"]["unique_graphs"]
        self()
        if counters["stats"]["unique_graphs"] != before + 1:
            detail = "torch.compile left the model as it was: unset TORCHDYNAMO_DISABLE"
            raise WorkerError("load-error", detail)
        # what is timed is never a compilation
        torch.compiler.set_stance("fail_on_recompile")
        self.providers = ("inductor",)


class LiteRtModel:
    """A TFLite model in LiteRT on the CPU, whose matrix products XNNPACK must have taken.

    An interpreter serves one call at a time, so there is one for each stream, with its own copy
    of the weights in the layout of XNNPACK: LiteRT shares none between them.
    """

    library = "ai_edge_litert.interpreter"
    distributions = ("ai-edge-litert",)

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import ai_edge_litert

        self.builds = {"ai-edge-litert": getattr(ai_edge_litert, "__version__", "unknown")}
        self._path = path
        self._settings = settings
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(settings.get("streams", 1)):
            interpreter = self._open()
            self.providers = _litert_providers(
                interpreter._get_ops_details(), settings["precision"]
            )
            self._free.put(interpreter)
        self._output = interpreter.get_output_details()[0]["index"]

    def _open(self) -> Any:
        """An interpreter, whose inputs have the shapes of the feed."""
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=self._path, num_threads=self._settings["threads"])
        tables = [
            int(tensor["shape"][0])
            for tensor in interpreter.get_tensor_details()
            if tensor["name"] == _LITERT_TABLE
        ]
        found = _litert_inputs(interpreter)
        self._inputs = [
            Input(
                name,
                f"tensor({_LITERT_TYPES.get(tensor['dtype'], np.dtype(tensor['dtype']).name)})",
                [None if size < 0 else int(size) for size in tensor["shape_signature"]],
            )
            for name, tensor in found.items()
        ]
        self._places = {name: int(tensor["index"]) for name, tensor in found.items()}
        self.fill(vocabulary_of(tables[0] if tables else None, self._settings))
        for name, _, sizes in self._inputs:
            if None in sizes:
                interpreter.resize_tensor_input(self._places[name], self.feed[name].shape)
        interpreter.allocate_tensors()
        return interpreter

    def fill(self, vocabulary_size: int) -> None:
        """Make the feed, of so many token ids."""
        self.vocabulary_size = vocabulary_size
        self.feed = make_feed(self._inputs, self._settings, vocabulary_size)

    def __call__(self) -> Any:
        interpreter = self._free.get()
        try:
            for name, values in self.feed.items():
                interpreter.set_tensor(self._places[name], values)
            interpreter.invoke()
            return interpreter.get_tensor(self._output)
        finally:
            self._free.put(interpreter)


_LITERT_TYPES = {np.float32: "float", np.float64: "double", np.bool_: "bool"}
#: Whose rows are as many as our graphs know tokens; an interpreter does not show their metadata.
_LITERT_TABLE = "embeddings.word_embeddings.weight"
_LITERT_PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D")


def _litert_inputs(interpreter: Any) -> dict[str, Any]:
    """Details of the inputs by name, that of the signature where the model has just one."""
    if len(interpreter.get_signature_list()) == 1:
        inputs: dict[str, Any] = interpreter.get_signature_runner().get_input_details()
        return inputs
    return {tensor["name"]: tensor for tensor in interpreter.get_input_details()}


def _litert_providers(operators: list[dict[str, Any]], precision: str) -> tuple[str, ...]:
    """What runs the operators of a model, of which XNNPACK must run every matrix product.

    LiteRT lists what the model has, and after it each group that a delegate took, as one more
    operator. Which belong to a group shows from the end on: what makes a tensor that a group hands
    out, or one that is used within it and not handed in.
    """
    groups = [o for o in operators if o["op_name"] == "DELEGATE"]
    listed = [o for o in operators if o["op_name"] != "DELEGATE"]
    handed_in = {int(tensor) for group in groups for tensor in group["inputs"]}
    within = {int(tensor) for group in groups for tensor in group["outputs"]}
    left = []
    for operator in reversed(listed):
        if within.isdisjoint(map(int, operator["outputs"])):
            left.append(operator["op_name"])
        else:
            within.update({int(tensor) for tensor in operator["inputs"]} - handed_in)
    products = sorted({name for name in left if name in _LITERT_PRODUCTS})
    if products or not groups:
        what = ", ".join(products) or "any operator"
        raise WorkerError("load-error", f"XNNPACK did not take {what}; it wants fixed shapes")
    kinds = {
        np.dtype(operator["operand_types"][1]).name
        for operator in listed
        if operator["op_name"] == "FULLY_CONNECTED"
    }
    weights = " and ".join(sorted(kinds))
    if precision == "int8" and weights != "int8":
        detail = f"the products have {weights or 'no'} weights, and int8 was asked for"
        raise WorkerError("load-error", detail)
    told = [f"XNNPACK {len(listed) - len(left)} of {len(listed)} operators"]
    if weights:
        told.append(f"{weights} weights")
    if left:
        told.append(f"LiteRT {' and '.join(sorted(set(left)))}")
    return tuple(told)


class NcnnModel:
    """A network of ncnn on the CPU.

    The file is ncnn's `.bin`, followed by the text of `.param`, JSON that says what it is, and the
    length of the JSON in eight bytes. ncnn has no batch: sequences run one after another.
    """

    library = "ncnn"
    distributions = ("ncnn",)
    # idle threads of its OpenMP sleep at once: spinning ones would count as busy and disturb their
    # neighbours (the option `openmp_blocktime` is for another OpenMP than the one in its wheels)
    environment: ClassVar[dict[str, str]] = {"OMP_WAIT_POLICY": "PASSIVE"}

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import ncnn

        told, param = _read_ncnn(path)
        if told["precision"] != settings["precision"]:
            detail = f"the network computes in {told['precision']}, not in {settings['precision']}"
            raise WorkerError("load-error", detail)
        self._net = ncnn.Net()
        wanted = {
            "num_threads": settings["threads"],
            "openmp_blocktime": 0,
            "use_vulkan_compute": False,
            # where the processor has it, ncnn computes in less than 32 bits without being asked
            **{f"use_fp16_{part}": False for part in ("packed", "storage", "arithmetic")},
            "use_bf16_storage": False,
        }
        for name, value in wanted.items():
            setattr(self._net.opt, name, value)
        if self._net.load_param_mem(param) != 0 or self._net.load_model(path) != 0:
            raise WorkerError("load-error", "ncnn cannot read the network: build it again")
        ignored = [name for name, value in wanted.items() if getattr(self._net.opt, name) != value]
        if ignored:
            raise WorkerError("load-error", f"ncnn did not take the options {', '.join(ignored)}")
        self.builds = {"ncnn": ncnn.__version__}
        self.providers = (f"CPU {settings['precision']}",)
        length = settings["sequence_length"]
        self.vocabulary_size = vocabulary_of(told[VOCABULARY_KEY], settings)
        feed = make_inputs(self.vocabulary_size, settings["batch"], length)
        places = np.arange(length, dtype=np.int32)
        # added to the scores: nothing, since no token is padding
        mask = np.zeros((length, length), np.float32)
        self._arrays = [
            {
                "input_ids": feed["input_ids"][place].astype(np.int32),
                "token_type_ids": feed["token_type_ids"][place].astype(np.int32),
                "position_ids": places,
                "attention_mask": mask,
            }
            for place in range(settings["batch"])
        ]
        # these refer to the arrays, and copy nothing
        self._feeds = [
            {name: ncnn.Mat(values) for name, values in arrays.items()} for arrays in self._arrays
        ]

    def __call__(self) -> Any:
        return np.stack([self._run(feed) for feed in self._feeds])

    def _run(self, feed: Mapping[str, Any]) -> npt.NDArray[Any]:
        """One sequence; an extractor belongs to one call, so that several threads may call."""
        extractor = self._net.create_extractor()
        for name, values in feed.items():
            extractor.input(name, values)
        failed, hidden = extractor.extract("last_hidden_state")
        # the pooler goes on from what is there, and is part of what is timed
        failed = failed or extractor.extract("pooler_output")[0]
        if failed:
            cause = "out-of-memory" if failed == _NCNN_ALLOCATION_FAILED else "crash"
            raise WorkerError(cause, f"ncnn ended the inference with code {failed}")
        return np.asarray(hidden)


_NCNN_ALLOCATION_FAILED = -100


def _read_ncnn(path: str) -> tuple[dict[str, Any], str]:
    """What a network says of itself, and its text; ncnn itself reads the weights.

    Sizes are compared first, since ncnn says nothing of a damaged file but a number.
    """
    size = Path(path).stat().st_size
    try:
        with Path(path).open("rb") as file:
            file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(), "little")
            file.seek(size - 8 - length)
            told: dict[str, Any] = json.loads(file.read(length))
            file.seek(told["weights_bytes"])
            param = file.read(told["param_bytes"]).decode("ascii")
        whole = told["weights_bytes"] + told["param_bytes"] + length + 8
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        detail = f"{path} is no network of ncnn that atb wrote ({_describe(error)})"
        raise WorkerError("load-error", detail) from error
    if size != whole:
        raise WorkerError("load-error", f"{path} has {size} bytes where {whole} were written")
    return told, param


class ExecuTorchModel:
    """A program of ExecuTorch whose matrix products run in XNNPACK.

    Its runtime takes and gives PyTorch's tensors in Python. Threads are those of one pool of the
    process, to which loaded programs hold on, so that all of a worker's have as many. Streams take
    turns: a method has one memory for what lies between its operators.
    """

    library = "executorch.runtime"
    distributions = ("executorch",)
    _loaded = False  # whether any program is

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime
        from executorch.version import __version__

        torch.set_num_threads(1)  # it computes nothing here
        cls, wanted = type(self), settings["threads"]
        if not cls._loaded:  # later it would take the threads away from those that are loaded
            portable_lib._unsafe_reset_threadpool(wanted)
        threads = portable_lib._threadpool_get_thread_count()
        if threads != wanted:
            detail = f"ExecuTorch has {threads} threads in this worker, not {wanted}"
            raise WorkerError("load-error", detail)
        runtime = Runtime.get()
        if not runtime.backend_registry.is_available(_XNNPACK):
            raise WorkerError("load-error", "this build of ExecuTorch has no XNNPACK")
        content = Path(path).read_bytes()
        if _XNNPACK.encode() not in content:  # where a program names what it delegates to
            raise WorkerError("load-error", "the program delegates nothing to XNNPACK")
        self._program = runtime.load_program(content)
        told = {name: self._tell(name) for name in (VOCABULARY_KEY, "weight_bits")}
        if told["weight_bits"] != _WEIGHT_BITS[settings["precision"]]:
            detail = f"the program's matrices have {told['weight_bits']} bits, which is not "
            raise WorkerError("load-error", detail + settings["precision"])
        shape = settings["batch"], settings["sequence_length"]
        found = tuple(self._program.metadata("forward").input_tensor_meta(0).sizes())
        if found != shape:
            raise WorkerError("load-error", f"the program is for the shape {found}, not {shape}")
        self.vocabulary_size = vocabulary_of(told[VOCABULARY_KEY], settings)
        feed = make_inputs(self.vocabulary_size, *shape)
        self._feed = [torch.from_numpy(values) for values in feed.values()]
        cls._loaded = True
        self._forward = self._program.load_method("forward")
        self._turn = threading.Lock()
        self.builds = {"executorch": __version__, "torch": torch.__version__}
        self.providers = (f"{_XNNPACK} {settings['precision']}", "kernels of ExecuTorch")

    def _tell(self, name: str) -> int:
        """A number that the program holds."""
        if name not in self._program.method_names:
            raise WorkerError("load-error", f"the program does not tell its {name}: build it again")
        number: int = self._program.load_method(name).execute([])[0]
        return number

    def __call__(self) -> Any:
        with self._turn:
            return self._forward.execute(self._feed)[0].numpy()


_XNNPACK = "XnnpackBackend"
_WEIGHT_BITS = {"fp32": 32, "int8": 8}


RUNNERS: dict[str, Any] = {
    "onnxruntime": OnnxRuntimeModel,
    "onnxruntime-ort": OnnxRuntimeOrtModel,
    "onnxruntime-cuda": OnnxRuntimeCudaModel,
    "openvino": OpenVinoModel,
    "torch": TorchModel,
    "torch-compiled": TorchCompiledModel,
    "litert": LiteRtModel,
    "ncnn": NcnnModel,
    "executorch": ExecuTorchModel,
}


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
_SLEEPERS: set[int] = set()


def _threads_awake() -> list[int]:
    """The system's numbers of all threads that may work; none where it does not tell."""
    try:
        found = {int(task.name) for task in Path("/proc/self/task").iterdir()}
    except OSError:
        return []
    return sorted(found - _SLEEPERS)


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
            together.abort()  # nobody waits for a stream that failed
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


def _forget_peak() -> bool:
    """Let the system count the largest memory of this process from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    """A file of the system; empty where there is none."""
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _memory(name: str, path: str = "/proc/self/status") -> int | None:
    """A size in bytes that the system tells, of this process: `VmRSS`, or its peak `VmHWM`."""
    kibibytes = [
        line.split()[1] for line in _read(path).splitlines() if line.startswith(f"{name}:")
    ]
    return 1024 * int(kibibytes[0]) if kibibytes else None


def _limit_memory(share: float) -> None:
    """Let allocations fail here before the machine runs out, and go first if it does so anyway."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    groups = ("memory.max", "memory/memory.limit_in_bytes")  # of a container, by either version
    limits = [
        int(text) for name in groups if (text := _read(f"/sys/fs/cgroup/{name}")).strip().isdigit()
    ]
    available = _memory("MemAvailable", "/proc/meminfo")
    if resource is None or available is None:
        return
    # written memory, not addresses, of which runtimes reserve far more than they use
    data = int(share * min([available, *limits])) + (_memory("VmData") or 0)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    data = data if most == resource.RLIM_INFINITY else min(data, most)
    resource.setrlimit(resource.RLIMIT_DATA, (data, most))


class Worker:
    """Answers requests; keeps the loaded models."""

    def __init__(self) -> None:
        self._models: dict[str, tuple[Model, Mapping[str, Any]]] = {}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a request asks for."""
        arguments = {name: value for name, value in request.items() if name != "do"}
        answer: dict[str, Any] = getattr(self, f"do_{request['do']}")(**arguments)
        return answer

    def do_hello(
        self, affinity: list[int] | None = None, memory_share: float | None = None
    ) -> dict[str, Any]:
        """Pin this process before any runtime makes threads, and say who answers.

        Args:
            affinity: CPUs to stay on.
            memory_share: Of the memory that is available now, what may be used at most.
        """
        if affinity is not None:
            os.sched_setaffinity(0, affinity)
        if memory_share is not None:
            _limit_memory(memory_share)
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
            path: Its file.
            runner: One of `RUNNERS`.
            settings: The fields of `RunSettings`.
            vocabulary_size: How many token ids it is fed at most; None for as many as it knows.
        """
        if runner not in RUNNERS:
            raise WorkerError("load-error", f"this worker has no runtime {runner!r}")
        make = RUNNERS[runner]
        settings = {**settings, "vocabulary_size": vocabulary_size}
        started = time.perf_counter()
        os.environ.update(getattr(make, "environment", {}))  # read by libraries as they load
        try:
            importlib.import_module(make.library)
            imported = time.perf_counter()
            # the library's own memory is not the model's
            memory = _memory("VmRSS") if _forget_peak() else None
            begun = time.perf_counter()
            model: Model = make(path, settings)
            loaded = time.perf_counter()
            known = model.vocabulary_size
            outputs, first_seconds = _first_run(model)
        except (MemoryError, WorkerError):
            raise
        except Exception as error:  # runtimes raise classes of their own
            raise WorkerError(_cause(error, "load-error"), _describe(error)) from error
        peak = None if memory is None else _memory("VmHWM")
        checksum = _checksum(outputs)
        self._models[key] = model, settings
        fewer = [f"token ids below {model.vocabulary_size}"] * (model.vocabulary_size < known)
        return {
            "load_seconds": imported - started + loaded - begun,
            "first_seconds": first_seconds,
            "providers": [*model.providers, *fewer],
            "builds": model.builds,
            "output_checksum": checksum,
            "memory_bytes": None if peak is None or memory is None else max(0, peak - memory),
            "vocabulary_size": model.vocabulary_size,
        }

    def do_run(
        self, key: str, iterations: int, warmup: int, limit_seconds: float = 0.0
    ) -> dict[str, Any]:
        """Run one block, in the scenario that the settings of the model ask for."""
        model, settings = self._loaded(key)
        return measure(model, iterations, warmup, settings, limit_seconds)

    def do_output(self, key: str) -> dict[str, Any]:
        """The first output that is numbers, exactly."""
        numbers = _numbers(self._loaded(key)[0]())
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
        return {"operators": tell(iterations)}

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


def _first_run(model: Model) -> tuple[Any, float]:
    """Run a model once, of fewer token ids where it does not know those that it was fed.

    Returns:
        Its outputs, and the seconds that the run took.
    """
    failure: Exception | None = None
    fewer = _FEWER_TOKENS if hasattr(model, "fill") else ()
    known = model.vocabulary_size
    for vocabulary_size in (known, *(size for size in fewer if size < known)):
        if vocabulary_size < known:
            model.fill(vocabulary_size)  # type: ignore[attr-defined]
        begun = time.perf_counter()
        try:
            outputs = model()
        except Exception as error:  # runtimes raise classes of their own
            if _cause(error, "crash") == "out-of-memory":
                raise
            failure = error  # the last one is of ids that every model knows
            continue
        return outputs, time.perf_counter() - begun
    assert failure is not None
    fed = getattr(model, "feed", None)
    if fed is None:
        raise failure
    listed = ", ".join(f"{name[:40]} {v.dtype} {list(v.shape)}" for name, v in fed.items())
    raise WorkerError(
        "load-error",
        f"{_describe(failure)[:300]}; it was fed {listed[:200]}: maybe it wants another "
        "--sequence-length or --batch",
    ) from failure


def _numbers(output: Any) -> npt.NDArray[Any] | None:
    """The first part of an output that is numbers; None where there is none.

    An output may also be texts, missing, or a sequence or a map of outputs.
    """
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        if output and all(isinstance(part, (bool, int, float)) for part in output):
            return np.asarray(output, np.float64)
        parts = (_numbers(part) for part in output)
        return next((numbers for numbers in parts if numbers is not None), None)
    found = np.asarray(output)
    return found if found.dtype.kind in "biuf" and found.size else None


def _checksum(outputs: Any) -> float:
    """The sum of the first output that is numbers; zero where there is none.

    Infinite values are left out, with which models exclude what may not be chosen.
    """
    numbers = _numbers(outputs)
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


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(": \n")


_DETAIL_CHARACTERS = 2000  # of what a runtime says
_SHORT_OF_MEMORY = ("bad_alloc", "bad allocation", "allocate memory", "out of memory")


def _cause(error: Exception, otherwise: str) -> str:
    """Runtimes report a failed allocation as an error of their own."""
    text = str(error).lower()
    short = isinstance(error, MemoryError) or any(words in text for words in _SHORT_OF_MEMORY)
    return "out-of-memory" if short else otherwise


def _end_with_the_parent(stdin: int) -> None:
    """Wait, asleep in the kernel, until the parent is gone, even in the middle of a block."""
    _SLEEPERS.add(threading.get_native_id())
    poll = select.poll()
    poll.register(stdin, 0)  # no event is asked for: only a hang-up wakes it
    poll.poll()
    os._exit(0)


def main() -> None:
    """Answer requests until there are no more."""
    # libraries may print: what they believe to be stdout becomes stderr
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # libraries report their use over the network: onnxruntime unless it is told not to before it
    # is imported, and openvino unless this package is missing
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
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
            reply = {"cause": error.cause, "detail": str(error)[-_DETAIL_CHARACTERS:]}
        except Exception as error:  # noqa: BLE001 - the parent gets a record, not a traceback
            reply = {
                "cause": _cause(error, "crash"),
                "detail": _describe(error)[-_DETAIL_CHARACTERS:],
            }
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
