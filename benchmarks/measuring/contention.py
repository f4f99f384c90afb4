"""What co-located load does to a latency, by campaigns and by simpler statistics, in one run.

The same architectures are timed while the machine is quiet, then beside one, two and four busy
processes, CPU-bound (a loop in registers) and memory-bound (copying 64 MB), then quiet again.
For campaigns the result holds the error against quiet, of measurements with a flag and without
one, and the share of flags; for the others, the error of each statistic of fifty runs in a row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.statistics.measurement import Measurement
from benchmarks.shared.other_tools import STATISTICS, Recipe, time_by_recipe
from benchmarks.shared.record import machine, write_result

#: A process that outlived its parent would disturb what is timed next.
_DIE_WITH_PARENT = "import ctypes; ctypes.CDLL(None).prctl(1, 9)\n"
LOADS = {
    "cpu": "while True: pass",
    "memory": (
        "import numpy as np; a = np.ones(8_000_000); b = np.ones(8_000_000)\n"
        "while True: np.copyto(a, b)"
    ),
}
#: Name of a phase -> kind of busy processes and their number.
PHASES: dict[str, tuple[str, int]] = {
    "quiet": ("cpu", 0),
    "cpu 1": ("cpu", 1),
    "memory 1": ("memory", 1),
    "quiet 2": ("cpu", 0),
    "cpu 2": ("cpu", 2),
    "memory 2": ("memory", 2),
    "quiet 3": ("cpu", 0),
    "cpu 4": ("cpu", 4),
    "memory 4": ("memory", 4),
    "quiet 4": ("cpu", 0),
}
FIFTY_RUNS = Recipe(5, 50, 0.0, "median")
WAIT_SECONDS = 5.0  # nothing to wait for: the load stays


@contextlib.contextmanager
def busy_processes(kind: str, count: int) -> Iterator[None]:
    """Busy processes that are there while the block runs."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, "-c", _DIE_WITH_PARENT + LOADS[kind]], env=environment)
        for _ in range(count)
    ]
    try:
        time.sleep(0.5 if count else 2.0)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(name: str, architectures: Sequence[Architecture], folder: Path) -> None:
    """One phase: a campaign into the database, fifty runs in a row into a file."""
    path = folder / f"{name}.json"
    if path.is_file():
        return
    device = find_device("local")
    runtime = find_runtime(device)
    with busy_processes(*PHASES[name]):
        with ProfileDatabase(folder / "profile.db", create=True) as database:
            plan = Plan(tuple(architectures), name=name, wait_seconds=WAIT_SECONDS)
            run_campaign(device, runtime, RunSettings(), plan, database)
        others = {
            str(a): runs.tolist()
            for a, runs, _ in time_by_recipe(device, runtime, architectures, lambda _: FIFTY_RUNS)
        }
    path.write_text(json.dumps(others))


def errors(found: Sequence[float]) -> dict[str, float]:
    """Relative errors in per cent."""
    if not found:
        return {}
    each = 100 * np.abs(np.array(found))
    return {
        "mean": round(float(each.mean()), 2),
        "worst": round(float(each.max()), 2),
        "bias": round(100 * float(np.mean(found)), 2),
    }


def report(architectures: Sequence[Architecture], folder: Path) -> dict[str, Any]:
    """The tables, from the database and the files."""
    with ProfileDatabase(folder / "profile.db") as database:
        every = read_measurements(database)
    by_phase = {name: {m.architecture: m for m in every if m.campaign == name} for name in PHASES}
    truth = {
        a: float(np.median([by_phase[n][a].latency_seconds for n in PHASES if "quiet" in n]))
        for a in architectures
    }
    others = {name: json.loads((folder / f"{name}.json").read_text()) for name in PHASES}
    level = {
        name: {
            a: float(
                np.median([statistic(np.array(others[n][str(a)])) for n in PHASES if "quiet" in n])
            )
            for a in architectures
        }
        for name, statistic in STATISTICS.items()
    }
    table = {}
    for phase, found in by_phase.items():
        table[phase] = {
            "ours": _ours(list(found.values()), truth),
            "peers": {
                name: errors(
                    [
                        statistic(np.array(others[phase][str(a)])) / level[name][a] - 1
                        for a in architectures
                    ]
                )
                for name, statistic in STATISTICS.items()
            },
        }
    return {"architectures": [str(a) for a in architectures], "phases": table}


def _ours(found: Sequence[Measurement], truth: dict[Architecture, float]) -> dict[str, Any]:
    error = [(m, m.latency_seconds / truth[m.architecture] - 1) for m in found]
    return {
        "flagged": round(float(np.mean([m.flagged for m in found])), 3),
        "unflagged_error": errors([e for m, e in error if not m.flagged]),
        "error": errors([e for _, e in error]),
        "wall_error": errors([m.wall_seconds / truth[m.architecture] - 1 for m in found]),
        "interval": round(100 * float(np.mean([m.estimate.relative_half_width for m in found])), 2),
        "slowdown": round(float(np.median([m.slowdown for m in found])), 4),
        "reasons": sorted({reason for m in found for reason in m.reasons})[:5],
    }


def main() -> None:
    """Measure the phases that are missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=Path("atb-runs/contention"))
    arguments = parser.parse_args()
    started = machine()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    drawn = SPACES["mini"].sample(np.random.default_rng(2), arguments.architectures)
    for name in PHASES:
        begun = time.monotonic()
        measure(name, drawn, arguments.folder)
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    figures = report(drawn, arguments.folder)
    print(json.dumps(figures, indent=1))
    write_result("contention", figures, started)


if __name__ == "__main__":
    main()
