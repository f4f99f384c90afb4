"""Whether the model that is timed is as fast as the model that is deployed.

`atb profile` times a graph of random weights and a small vocabulary; what a user deploys has
trained weights and the whole vocabulary. Three parts; the same command goes on where it was
interrupted. A part that is run alone prints its table, all of them together write the result.

- `agree`: both of ten architectures, the deployed one exported from the bundled SuperPLM;
- `parts`: what weights and vocabulary change, one by one, and what fixed shapes would, of which the
  runtime makes another graph;
- `classes`: weights and inputs on which the same architecture might be slower: denormal numbers,
  zeros, padding, other tokens; and what the runtime's own remedy for denormal numbers does.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from atb.deploy.export import export_model
from atb.devices.registry import find_device, find_runtime
from atb.devices.runtimes.reference import TIMING_VOCABULARY
from atb.devices.settings import RunSettings
from atb.devices.worker.core.inputs import make_inputs
from atb.models.architecture import Architecture
from atb.models.onnx_builder import build_graph, save_graph
from atb.models.published import resolve
from atb.models.space import SPACES
from atb.models.superplm.bundled import load_superplm
from atb.profiler.campaign.inspection import weight_warnings
from atb.profiler.comparison.comparison import ComparisonPlan, Side
from atb.profiler.comparison.runner import compare
from atb.profiler.record import ModelFile, Subject
from atb.search.scoring.graphs import FP32_FILE
from benchmarks.measuring.comparing import Ledger, row
from benchmarks.measuring.variants import (
    FREE,
    TINY,
    classes_of,
    one_by_one,
    weights_with,
    with_inputs,
)
from benchmarks.shared.record import machine, write_result

PARTS = ("agree", "parts", "classes")
ARCHITECTURES = 10
#: The one that is taken apart, and the one whose weights and inputs are changed.
TAKEN_APART = "L4-H256-A8-Q256-F512"
VARIED = "L4-H256-A8-Q256-F1024"


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
        f"{found['launches']:3d} launches {found['seconds']:6.1f} s"
        + (", warned of" if found["warnings"] else ""),
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


def taken_apart(ledger: Ledger, budget_seconds: float) -> dict[str, Any]:
    """What each step from the timing graph to the deployed one costs."""
    shape = resolve(TAKEN_APART)
    print(f"\nover the timing graph of {shape}")
    return vary(ledger, "parts", build_graph(shape, **FREE), one_by_one(shape), budget_seconds)


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


def classes(ledger: Ledger, budget_seconds: float) -> dict[str, Any]:
    """The table of weights and inputs, and the runtime's remedy."""
    shape = resolve(VARIED)
    usual = with_inputs(build_graph(shape, **FREE), **make_inputs(TIMING_VOCABULARY, 1, 128))
    print(f"\nover the usual weights and inputs of {shape}")
    table = vary(ledger, "classes", usual, classes_of(shape), budget_seconds)
    return {"architecture": str(shape), "table": table, "denormal_as_zero": remedy(shape)}


def in_one_process(text: str, fixed: bool, zeroed: str, rounds: int) -> dict[str, float]:
    """Ratios to the usual weights in a fresh process.

    A process of its own, since the runtime applies `session.set_denormal_as_zero` to the calling
    thread once, for the first session.
    """
    import onnxruntime

    shape = resolve(text)
    weights = {
        "usual": weights_with(shape, TINY, 0.0),
        "all weights of products denormal": weights_with(shape, TINY, 1.0),
        "denormal activations": weights_with(shape, TINY, 0.0, TINY),
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", zeroed)
    sessions = {
        name: onnxruntime.InferenceSession(
            build_graph(shape, weights=chosen, **({} if fixed else FREE)).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        for name, chosen in weights.items()
    }
    feed = make_inputs(TIMING_VOCABULARY, 1, 128)
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for name in order.permutation(list(sessions)):
            sessions[name].run(None, feed)
            began = time.perf_counter()
            sessions[name].run(None, feed)
            seconds[str(name)].append(time.perf_counter() - began)
    usual = np.median(seconds["usual"])
    return {name: float(np.median(found) / usual) for name, found in seconds.items()}


def remedy(architecture: Architecture, rounds: int = 200) -> dict[str, dict[str, float]]:
    """What `session.set_denormal_as_zero` changes, each setting in a process of its own.

    Fixed shapes are there too, of which the runtime makes another graph, with other kernels.
    """
    found = {}
    for shapes, label in itertools.product(("free", "fixed"), ("as they are", "taken for zero")):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            zeroed = "1" if label == "taken for zero" else "0"
            words = (str(architecture), shapes == "fixed", zeroed, rounds)
            ratios = pool.submit(in_one_process, *words).result()
        found[f"{shapes} shapes, denormal numbers {label}"] = ratios
        for name, ratio in ratios.items():
            print(f"{shapes} shapes, {label}: {name:40s} {ratio:8.3f}", flush=True)
    return found


def main() -> None:
    """Run the chosen parts and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--part", choices=PARTS, action="append", help="Part to run; all of them by default."
    )
    parser.add_argument("--architectures", type=int, default=ARCHITECTURES)
    parser.add_argument(
        "--budget", type=float, default=60.0, help="Budget of a comparison, in seconds."
    )
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
