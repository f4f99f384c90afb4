"""How often intervals hold the truth, in simulated campaigns slowed as this machine was.

Each campaign times one model of the noise trace, beside the sentinels of the same trace, through
the very code of `atb profile`, on a simulated clock. The truth is the long-run value: the mean over
all campaigns of that model. Half of them end by `--within 1%`, half after the usual launches.

TMPDIR on a disk in memory makes it quicker: every block is committed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from atb.devices.settings import RunSettings
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import Levels
from atb.profiler.statistics.measurement import Measurement
from atb.profiler.statistics.sentinel import CACHE_SENTINEL, LEVEL_QUANTILE
from benchmarks.noise.noise_trace import TraceDevice, cache_slowdown, read_trace, subject_of
from benchmarks.noise.record_noise import MODELS
from benchmarks.shared.record import machine, write_result

#: Short, so that checking outputs costs little; the noise does not depend on it.
SETTINGS = RunSettings(sequence_length=8)
WAYS: dict[str, float | None] = {"within 1%": 0.01, "usual launches": None}


def campaign(
    model: str, within: float | None, trace: Any, rng: np.random.Generator, folder: Path
) -> Measurement:
    """One simulated campaign."""
    device = TraceDevice(trace, model, rng)
    path = folder / "profile.db"
    path.unlink(missing_ok=True)
    plan = Plan((subject_of(model),), within=within)
    sentinel = device.latency(plan.sentinel, SETTINGS)
    usual = device.latency(CACHE_SENTINEL, SETTINGS) / sentinel * cache_slowdown(trace)
    # of a fortieth of the trace a database would take about the same
    usual_speed = float(np.quantile(trace["sentinel"].slowdown, LEVEL_QUANTILE))
    # levels are known, as in a database that has been used before
    levels = Levels(sentinel * usual_speed, usual)
    with (
        ProfileDatabase(path, create=True) as database,
        patch("atb.profiler.campaign.state.read_levels", return_value=levels),
        patch("atb.profiler.measurements.read_levels", return_value=levels),
    ):
        runtime = device.runtimes["fake"]
        (found,) = run_campaign(device, runtime, SETTINGS, plan, database).measurements
    return found


def judge(found: Sequence[Measurement]) -> dict[str, Any]:
    """Coverage and cost over the campaigns of one model."""
    logs = np.log([m.latency_seconds for m in found])
    truth = float(np.exp(logs.mean()))
    inside = [m.interval_seconds[0] <= truth <= m.interval_seconds[1] for m in found]
    unflagged = [ok for ok, m in zip(inside, found, strict=True) if not m.flagged]
    return {
        "campaigns": len(found),
        "covered": round(float(np.mean(inside)), 4),
        "covered_unflagged": round(float(np.mean(unflagged)), 4) if unflagged else None,
        "flagged": round(float(np.mean([m.flagged for m in found])), 4),
        "spread_percent": round(100 * float(logs.std(ddof=1)), 3),
        "half_width_percent": round(
            100 * float(np.median([m.estimate.relative_half_width for m in found])), 3
        ),
        "launches": round(float(np.mean([m.launches for m in found])), 2),
    }


def cell(model: str, way: str, count: int, seed: int) -> dict[str, Any]:
    """All campaigns of one model that end in one way."""
    rng, trace = np.random.default_rng([seed, list(MODELS).index(model)]), read_trace()
    with tempfile.TemporaryDirectory() as folder:
        found = [campaign(model, WAYS[way], trace, rng, Path(folder)) for _ in range(count)]
    row = judge(found)
    print(way, model, row, flush=True)
    return row


def main() -> None:
    """Simulate, count, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--campaigns", type=int, default=2_400, help="Number of simulated campaigns."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    started, begun = machine(), time.monotonic()
    models = [name for name in MODELS if name not in ("sentinel", "cache")]
    each = arguments.campaigns // (len(models) * len(WAYS))
    figures: dict[str, Any] = {way: {} for way in WAYS}
    with ProcessPoolExecutor(arguments.processes) as pool:
        waiting = {
            (way, model): pool.submit(cell, model, way, each, arguments.seed)
            for way in WAYS
            for model in models
        }
        for (way, model), row in waiting.items():
            figures[way][model] = row.result()
    for way in WAYS:
        rows = list(figures[way].values())
        figures[way]["all"] = {
            "campaigns": sum(row["campaigns"] for row in rows),
            "covered": round(float(np.mean([row["covered"] for row in rows])), 4),
        }
    figures["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps({way: figures[way]["all"] for way in WAYS}, indent=1))
    write_result("intervals", figures, started)


if __name__ == "__main__":
    main()
