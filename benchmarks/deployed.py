"""Whether the model that is timed is as fast as the model that is deployed.

`atb profile` times a graph of random weights, a small vocabulary and fixed shapes; what a user
deploys has trained weights, the whole vocabulary and free shapes. Three parts, each of which can be
run alone; the same command goes on where it was interrupted:

- `agree`: both of ten architectures, the deployed one exported from the embedded SuperPLM;
- `parts`: what of the difference is due to weights, vocabulary and shapes, changed one by one;
- `classes`: weights and inputs on which the same architecture might be slower: denormal numbers,
  zeros, padding, other tokens; and what the runtime's own remedy for denormal numbers does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from comparing import Ledger, row
from onnx import helper, numpy_helper
from record import machine, write_result

from atb.devices.reference import TIMING_VOCABULARY
from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.devices.worker import make_inputs
from atb.models.architecture import Architecture
from atb.models.embedded import load_superplm
from atb.models.known import resolve
from atb.models.onnx_builder import build_graph, save_graph
from atb.models.space import SPACES
from atb.models.weights import random_weights
from atb.profiler.comparison import ComparisonPlan, Side
from atb.profiler.inspection import weight_warnings
from atb.profiler.pairing import compare
from atb.profiler.subject import ModelFile, Subject
from atb.search.export import FP32_FILE, export_model

PARTS = ("agree", "parts", "classes")
ARCHITECTURES = 10
#: The one that is taken apart, and the one whose weights and inputs are changed.
TAKEN_APART = "L4-H256-A8-Q256-F512"
VARIED = "L4-H256-A8-Q256-F1024"
FULL_VOCABULARY = 30_522
TINY = np.float32(1e-39)  # denormal: the smallest normal float32 is 1.2e-38

Weights = dict[str, npt.NDArray[np.float32]]


def compared(
    first: Subject, second: Subject, budget_seconds: float, **facts: Any
) -> dict[str, Any]:
    """Compare on this machine, by default settings."""
    device = find_device("local")
    runtime, settings = find_runtime(device), RunSettings()
    plan = ComparisonPlan(budget_seconds=budget_seconds, seed=0)
    one, other = (Side(subject, runtime, settings) for subject in (first, second))
    return row(compare(device, one, other, plan), **facts)


def print_row(label: str, found: Mapping[str, Any]) -> None:
    """One line of a table."""
    interval = "-" if found["interval"] is None else "{:.4f} to {:.4f}".format(*found["interval"])
    print(
        f"{label:44s} {found['ratio']:8.4f}  {interval:20s} {found['verdict']:14s} "
        f"{found['launches']:3d} launches {found['seconds']:6.1f} s",
        flush=True,
    )


def agree(ledger: Ledger, count: int, budget_seconds: float) -> dict[str, Any]:
    """The timing graph and the exported model of architectures of the space `mini`."""
    superplm = load_superplm("mini")
    space = SPACES["mini"]
    shapes = space.sample(np.random.default_rng(0), count)

    def make(number: int) -> dict[str, Any]:
        shape = shapes[number]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "model"
            export_model(superplm, shape, out)
            found = compared(
                shape,
                ModelFile.of(out / FP32_FILE),
                budget_seconds,
                architecture=str(shape),
                warnings=weight_warnings(out / FP32_FILE),
            )
        print_row(str(shape), found)
        return found

    print("\nthe exported model over the timing graph")
    rows = ledger.fill("agree", count, make)
    apart = [abs(r["ratio"] - 1) for r in rows]
    return {
        "architectures": len(rows),
        "mean_apart": float(np.mean(apart)),
        "worst_apart": float(np.max(apart)),
        "within_1_percent": sum(value <= 0.01 for value in apart),
        "verdicts": [r["verdict"] for r in rows],
        "rows": rows,
    }


def trained_weights(architecture: Architecture) -> Weights:
    """As the exported model has them."""
    encoder = load_superplm("mini").extract(architecture, None).base_model
    return {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}


def one_by_one(architecture: Architecture) -> dict[str, Callable[[], onnx.ModelProto]]:
    """Graphs that differ from the timing graph in one thing each, and in all."""
    weights = trained_weights(architecture)
    short = {**weights}
    table = "embeddings.word_embeddings.weight"
    short[table] = weights[table][:TIMING_VOCABULARY]
    free: dict[str, Any] = {"sequence_length": None, "batch": None}
    return {
        "the same file again": lambda: build_graph(architecture),
        "whole vocabulary": lambda: build_graph(architecture, vocabulary_size=FULL_VOCABULARY),
        "free shapes": lambda: build_graph(architecture, **free),
        "trained weights": lambda: build_graph(architecture, weights=short),
        "all three": lambda: build_graph(
            architecture, weights=weights, vocabulary_size=FULL_VOCABULARY, **free
        ),
    }


def taken_apart(ledger: Ledger, budget_seconds: float) -> dict[str, Any]:
    """What each step from the timing graph to the deployed one costs."""
    shape = resolve(TAKEN_APART)
    print(f"\nover the timing graph of {shape}")
    return vary(ledger, "parts", build_graph(shape), one_by_one(shape), budget_seconds)


def vary(
    ledger: Ledger,
    name: str,
    usual: onnx.ModelProto,
    variants: Mapping[str, Callable[[], onnx.ModelProto]],
    budget_seconds: float,
) -> dict[str, Any]:
    """Compare each variant with the usual graph."""
    labels = list(variants)

    def make(number: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            one, other = Path(folder) / "usual.onnx", Path(folder) / "variant.onnx"
            save_graph(usual, one)
            save_graph(variants[labels[number]](), other)
            warnings = weight_warnings(other)
            found = compared(
                ModelFile.of(one),
                ModelFile.of(other),
                budget_seconds,
                variant=labels[number],
                warnings=warnings,
            )
        print_row(labels[number], found)
        return found

    return {r["variant"]: r for r in ledger.fill(name, len(labels), make)}


def with_inputs(model: onnx.ModelProto, **values: npt.NDArray[np.int64]) -> onnx.ModelProto:
    """A graph that computes on inputs of its own, whatever it is fed.

    Each input is multiplied by zero and the values added, so that nothing can be computed ahead.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    nodes = list(graph.node)
    zero = numpy_helper.from_array(np.zeros((), np.int64), "own_zero")
    graph.initializer.append(zero)
    first = []
    for name, array in values.items():
        for node in nodes:
            node.input[:] = [f"own_{name}" if found == name else found for found in node.input]
        graph.initializer.append(numpy_helper.from_array(array, f"own_{name}_values"))
        first.append(helper.make_node("Mul", [name, "own_zero"], [f"own_{name}_zeros"]))
        first.append(
            helper.make_node("Add", [f"own_{name}_zeros", f"own_{name}_values"], [f"own_{name}"])
        )
    del graph.node[:]
    graph.node.extend([*first, *nodes])
    return changed


def products(weights: Mapping[str, Any]) -> Iterator[str]:
    """Names of the matrices of products."""
    yield from (name for name in weights if name.endswith(".weight") and "embed" not in name.lower()
                and "LayerNorm" not in name)  # fmt: skip


def weights_with(
    architecture: Architecture, value: np.float32, share: float, norm: np.float32 | None = None
) -> Weights:
    """Random weights, a share of whose products are one value; optionally scales of the norms."""
    rng = np.random.default_rng(1)
    weights = random_weights(
        architecture, np.random.default_rng(0), vocabulary_size=TIMING_VOCABULARY
    )
    for name in products(weights):
        weights[name][rng.random(weights[name].shape) < share] = value
    if norm is not None:
        for name in weights:
            if "LayerNorm" in name:
                weights[name][:] = norm if name.endswith(".weight") else 0
    return weights


def classes_of(architecture: Architecture) -> dict[str, Callable[[], onnx.ModelProto]]:
    """Weights and inputs that might be slower."""
    usual = make_inputs(TIMING_VOCABULARY, 1, 128)

    def weighed(value: np.float32, share: float, norm: np.float32 | None = None) -> Any:
        return lambda: with_inputs(
            build_graph(architecture, weights=weights_with(architecture, value, share, norm)),
            **usual,
        )

    def fed(**changed: npt.NDArray[np.int64]) -> Any:
        return lambda: with_inputs(build_graph(architecture), **{**usual, **changed})

    padded = {n: np.where(np.arange(128) < n, 1, 0)[None].astype(np.int64) for n in (1, 64)}
    some = np.random.default_rng(2).integers(TIMING_VOCABULARY, size=(1, 128))
    return {
        "the same again": fed(),
        "one denormal weight in 1,000": weighed(TINY, 0.001),
        "one denormal weight in 100": weighed(TINY, 0.01),
        "one denormal weight in 10": weighed(TINY, 0.1),
        "all weights of products denormal": weighed(TINY, 1.0),
        "all weights of products zero": weighed(np.float32(0), 1.0),
        "denormal activations (norms of 1e-39)": weighed(TINY, 0.0, TINY),
        "half of the sequence padded": fed(attention_mask=padded[64]),
        "all but one token padded": fed(attention_mask=padded[1]),
        "one token repeated": fed(input_ids=np.full((1, 128), 7)),
        "tokens at random": fed(input_ids=some),
        "two segments": fed(token_type_ids=np.repeat([[0, 1]], 64, axis=1)),
    }


def classes(ledger: Ledger, budget_seconds: float) -> dict[str, Any]:
    """The table of weights and inputs, and the runtime's remedy."""
    shape = resolve(VARIED)
    usual = with_inputs(build_graph(shape), **make_inputs(TIMING_VOCABULARY, 1, 128))
    print(f"\nover the usual weights and inputs of {shape}")
    table = vary(ledger, "classes", usual, classes_of(shape), budget_seconds)
    return {"architecture": str(shape), "table": table, "denormal_as_zero": remedy(shape)}


def remedy(architecture: Architecture, rounds: int = 60) -> dict[str, float]:
    """Ratios to the usual weights, timed in this process with denormal numbers taken for zero."""
    import onnxruntime

    variants = {
        "usual": weights_with(architecture, TINY, 0.0),
        "all weights of products denormal": weights_with(architecture, TINY, 1.0),
        "denormal activations (norms of 1e-39)": weights_with(architecture, TINY, 0.0, TINY),
    }
    feed = make_inputs(TIMING_VOCABULARY, 1, 128)
    sessions = {}
    for (name, weights), zeroed in ((v, z) for v in variants.items() for z in ("0", "1")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.set_denormal_as_zero", zeroed)
        graph = build_graph(architecture, weights=weights).SerializeToString()
        label = f"{name}{', taken for zero' if zeroed == '1' else ''}"
        sessions[label] = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
    seconds: dict[str, list[float]] = {label: [] for label in sessions}
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for label in order.permutation(list(sessions)):
            sessions[label].run(None, feed)
            began = time.perf_counter()
            sessions[label].run(None, feed)
            seconds[str(label)].append(time.perf_counter() - began)
    ratios = {
        label: float(np.median(s) / np.median(seconds["usual"])) for label, s in seconds.items()
    }
    print("\nsession.set_denormal_as_zero, in one process")
    for label, ratio in ratios.items():
        print(f"{label:60s} {ratio:8.3f}")
    return ratios


def main() -> None:
    """Run the chosen parts and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="all of them by default")
    parser.add_argument("--architectures", type=int, default=ARCHITECTURES)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for a comparison")
    parser.add_argument("--out", type=Path, default=Path("atb-runs/deployed"))
    arguments = parser.parse_args()
    chosen: Sequence[str] = arguments.part or PARTS
    started, ledger, figures = machine(), Ledger(arguments.out), {}
    if "agree" in chosen:
        figures["agree"] = agree(ledger, arguments.architectures, arguments.budget)
    if "parts" in chosen:
        figures["parts"] = taken_apart(ledger, arguments.budget)
    if "classes" in chosen:
        figures["classes"] = classes(ledger, arguments.budget)
    if set(chosen) == set(PARTS):
        print(f"written: {write_result('deployed', figures, started)}")


if __name__ == "__main__":
    main()
