"""Which int8 weights: eight bits or seven, one scale or one for each column?

Three architectures with random weights: how far the output lies from the reference, and the latency
over that of eight bits with one scale, alternating in one process. Then slices of `mini`: their
distance from the whole SuperPLM on held-out text (the score of a search, 0 is best), in float32 and
in int8. The answer depends on whether the processor has VNNI: the result tells its instructions.

    python -m benchmarks.tool.int8_weights
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from atb.devices.runtimes.onnxruntime.cpu import quantise
from atb.devices.runtimes.reference import TIMING_VOCABULARY, check_output
from atb.devices.settings import RunSettings
from atb.devices.worker.core.inputs import make_inputs
from atb.models.architecture import Architecture
from atb.models.onnx_builder import build_graph, save_graph
from atb.models.published import PUBLISHED
from atb.models.superplm.bundled import load_superplm
from atb.search.scoring.int8_slices import Int8Slices
from atb.search.scoring.proxy import DistillationProxy
from benchmarks.shared.record import machine, write_result

VARIANTS: Mapping[str, dict[str, bool]] = {
    "eight bits": {"reduce_range": False, "per_channel": False},
    "seven bits": {"reduce_range": True, "per_channel": False},
    "seven bits, a scale for each column": {"reduce_range": True, "per_channel": True},
}
TIMED = (Architecture(2, 180, 6, 132, 500), PUBLISHED["tinybert-4"], PUBLISHED["minilm-6"])
SCORED = (
    Architecture(2, 288, 6, 192, 288),
    Architecture(3, 336, 8, 256, 608),
    Architecture(6, 352, 8, 256, 704),
)
SETTINGS = RunSettings(precision="int8")
ROUNDS, RUNS = 30, 4


def main() -> None:
    """Compare them."""
    started = machine()
    rows: list[dict[str, Any]] = []
    for architecture in TIMED:
        rows += timed(architecture)
    superplm = load_superplm("mini")
    scores = {"float32": DistillationProxy(superplm).score(SCORED)}
    for name, options in VARIANTS.items():
        with as_told(options):
            scores[name] = DistillationProxy(Int8Slices(superplm)).score(SCORED)
    figures = {"rows": rows, "scored": [str(a) for a in SCORED], "scores": scores}
    for row in rows:
        print(row)
    print(scores)
    print(write_result("int8_weights", figures, started))


def as_told(options: Mapping[str, bool]) -> Any:
    """Have the quantiser take other options than ours."""
    from onnxruntime import quantization  # after atb, which switches its telemetry off

    ours = quantization.quantize_dynamic
    return mock.patch.object(
        quantization, "quantize_dynamic", lambda *a, **named: ours(*a, **(named | options))
    )


def timed(architecture: Architecture) -> list[dict[str, Any]]:
    """Latencies in turn, and differences from the reference."""
    import onnxruntime

    feed = make_inputs(TIMING_VOCABULARY, 1, SETTINGS.sequence_length)
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "fp32.onnx"
        graph = build_graph(
            architecture,
            vocabulary_size=TIMING_VOCABULARY,
            positions=512,
            sequence_length=None,
            batch=None,
        )
        save_graph(graph, source)
        for name, options in VARIANTS.items():
            target = Path(folder) / "int8.onnx"
            with as_told(options):
                quantise(source, target)
            choices = onnxruntime.SessionOptions()
            choices.intra_op_num_threads = choices.inter_op_num_threads = 1
            sessions[name] = onnxruntime.InferenceSession(str(target), choices)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            session.run(None, feed)
            begun = time.process_time()
            for _ in range(RUNS):
                session.run(None, feed)
            seconds[name].append((time.process_time() - begun) / RUNS)
    first = np.array(seconds[next(iter(VARIANTS))])
    found = []
    for name, session in sessions.items():
        result = check_output(architecture, SETTINGS, session.run(None, feed)[0])
        ratios = np.array(seconds[name]) / first
        found.append(
            {
                "architecture": str(architecture),
                "weights": name,
                "difference": round(result.max_difference, 5),
                "allowed": round(result.bound, 5),
                "milliseconds": round(1e3 * float(np.median(seconds[name])), 3),
                "ratio": round(float(np.median(ratios)), 4),
                "ratio_quartiles": np.round(np.quantile(ratios, [0.25, 0.75]), 4).tolist(),
            }
        )
    return found


if __name__ == "__main__":
    main()
