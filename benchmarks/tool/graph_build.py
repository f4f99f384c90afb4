"""Time to build the graph of tinybert-4 and to open a session on it, in fresh processes.

The timing graph has a small vocabulary; the deployed one the full vocabulary and free axes. The
first build of a process pays for what libraries set up lazily; imports are counted apart.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.shared.paths import ROOT
from benchmarks.shared.record import machine, write_result

RUNS = 7
GRAPHS: dict[str, dict[str, Any]] = {
    "timing_graph": {},
    "full_vocabulary": {"vocabulary_size": 30_522, "sequence_length": None, "batch": None},
}


def measure_once(graph: str) -> dict[str, float]:
    """Seconds of the imports, of building, of serialising and of opening a session."""
    started = time.perf_counter()
    import onnxruntime

    from atb.models.onnx_builder import build_graph
    from atb.models.published import resolve

    imported = time.perf_counter()
    model = build_graph(resolve("tinybert-4"), **GRAPHS[graph])
    built = time.perf_counter()
    content = model.SerializeToString()
    serialised = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    opened = time.perf_counter()
    return {
        "import_seconds": imported - started,
        "build_seconds": built - imported,
        "serialise_seconds": serialised - built,
        "session_seconds": opened - serialised,
        "build_and_session_seconds": opened - imported,
    }


def summarise(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each step."""
    return {
        step: {
            "median": statistics.median(run[step] for run in runs),
            "least": min(run[step] for run in runs),
            "most": max(run[step] for run in runs),
        }
        for step in runs[0]
    }


def main() -> None:
    """Time both graphs in alternating fresh processes, and write the result."""
    started = machine()
    runs: dict[str, list[dict[str, float]]] = {graph: [] for graph in GRAPHS}
    for _ in range(RUNS):
        for graph, measured in runs.items():
            answer = subprocess.run(
                [sys.executable, "-m", "benchmarks.tool.graph_build", "--once", graph],
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            )
            measured.append(json.loads(answer.stdout))
    figures = {graph: summarise(measured) for graph, measured in runs.items()}
    path = write_result("graph_build", {"runs": RUNS, **figures}, started)
    for graph, steps in figures.items():
        build, both = steps["build_seconds"], steps["build_and_session_seconds"]
        print(
            f"tinybert-4, {graph.replace('_', ' ')}: built in {build['median']:.3f} s, "
            f"with session {both['median']:.3f} s (medians of {RUNS})"
        )
    print(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(measure_once(sys.argv[2])))
    else:
        main()
