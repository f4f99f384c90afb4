"""Records how this machine's speed moves while nothing but the recording runs on it.

A fresh worker every twenty seconds; short blocks of a few models in random order, each after a
block of the sentinel. What is kept of a block, in `benchmarks/noise/trace.npz`: when it began, its
launch, median, lower quartile and minimum of its undisturbed iterations, and how many of its
iterations were preempted. Simulated campaigns, comparisons and drift tests run on this trace.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.contract import Block
from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.published import resolve
from atb.profiler.campaign.plan import SENTINEL
from atb.profiler.statistics.readings import undisturbed
from atb.profiler.statistics.sentinel import CACHE_SENTINEL
from benchmarks.shared.paths import NOISE_TRACE
from benchmarks.shared.record import machine, write_result

LAUNCH_SECONDS = 20.0
MODELS = {
    "sentinel": str(SENTINEL),
    "cache": str(CACHE_SENTINEL),
    "t2": "L2-H256-A4-Q256-F512",
    "l5": "L5-H288-A6-Q192-F768",
    "tb4": "tinybert-4",
    "m6": "minilm-6",
    "m12": "minilm-12",
    "tb6": "tinybert-6",
}
STATISTICS = ("median", "quartile", "minimum")


def record(minutes: float) -> Iterator[tuple[int, str, Block]]:
    """Blocks as they are timed: launch, name of the model, readings."""
    device = find_device("local")
    runtime, settings, rng = find_runtime(device), RunSettings(), np.random.default_rng(0)
    iterations: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        artefacts = {
            name: runtime.build(resolve(text), settings, Path(folder))
            for name, text in MODELS.items()
        }
        end, launch = time.monotonic() + 60 * minutes, 0
        while time.monotonic() < end:
            with device.launch(runtime, settings) as worker:
                for name, artefact in artefacts.items():
                    worker.load(name, artefact)
                    seconds = min(worker.run(name, iterations=3, warmup=1).wall_seconds)
                    wanted = 0.012 if name == "sentinel" else 0.05
                    iterations.setdefault(name, max(3, int(np.ceil(wanted / seconds))))
                stop = time.monotonic() + LAUNCH_SECONDS
                while time.monotonic() < stop:
                    for name in rng.permutation([name for name in MODELS if name != "sentinel"]):
                        for key in ("sentinel", str(name)):
                            yield launch, key, worker.run(key, iterations=iterations[key], warmup=1)
            launch += 1
            print(f"{(end - time.monotonic()) / 60:.1f} minutes left", flush=True)


def row(launch: int, block: Block) -> tuple[float, ...]:
    """What is kept of a block."""
    wall, clean = np.array(block.wall_seconds), undisturbed(block, threads=1)
    kept = wall[clean] if clean.sum() >= 2 else np.array(block.cpu_seconds)
    low = np.quantile(kept, [0.5, 0.25, 0.0])
    return block.started_at, launch, *low, int((~clean).sum())


def save(rows: dict[str, list[tuple[float, ...]]], path: Path) -> None:
    """Write the rows of each model as arrays `NAME_seconds`, `NAME_launch`, ..."""
    began = min(found[0][0] for found in rows.values())
    arrays: dict[str, Any] = {}
    for name, found in rows.items():
        table = np.array(found)
        arrays[f"{name}_seconds"] = (table[:, 0] - began).astype(np.float32)
        arrays[f"{name}_launch"] = table[:, 1].astype(np.int16)
        for column, statistic in enumerate(STATISTICS, start=2):
            arrays[f"{name}_{statistic}"] = table[:, column].astype(np.float32)
        arrays[f"{name}_preempted"] = table[:, 5].astype(np.int16)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)


def main() -> None:
    """Record, compress, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=36.0)
    parser.add_argument("--out", type=Path, default=NOISE_TRACE)
    arguments = parser.parse_args()
    started = machine()
    rows: dict[str, list[tuple[float, ...]]] = {}
    for launch, name, block in record(arguments.minutes):
        rows.setdefault(name, []).append(row(launch, block))
    save(rows, arguments.out)
    level = {name: np.quantile([r[2] for r in found], 0.05) for name, found in rows.items()}
    figures = {
        name: {
            "architecture": MODELS[name],
            "blocks": len(found),
            "milliseconds": round(1e3 * float(level[name]), 4),
            "median_over_level": round(float(np.median([r[2] for r in found]) / level[name]), 4),
            "percentile_95_over_level": round(
                float(np.quantile([r[2] for r in found], 0.95) / level[name]), 4
            ),
        }
        for name, found in rows.items()
    }
    print(json.dumps(figures, indent=1))
    write_result("record_noise", {"minutes": arguments.minutes, "models": figures}, started)


if __name__ == "__main__":
    main()
