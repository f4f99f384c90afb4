"""First light: how far the whole pipeline can be trusted on this machine.

Four figures, all from real measurements on an otherwise idle machine:

1. disagreement of 30 architectures profiled in two campaigns;
2. cross-validated error of the predictor from 100 measurements;
3. predicted against measured for 20 searched architectures, each found under a limit of its own;
4. share of them whose latency, measured again in a new campaign, meets the limit.

The same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.space import SPACES
from atb.models.superplm.bundled import load_superplm
from atb.predictor.evaluation import evaluate
from atb.predictor.latency_fit import fit
from atb.predictor.predictor import WorkPredictor
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.measurement import Measurement
from atb.search.constraints.candidates import on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.contract import MethodSettings
from atb.search.request import SearchRequest
from atb.search.result import SearchResult
from atb.search.run import search
from atb.search.scoring.proxies import make_proxy
from atb.search.targets import Target
from atb.search.verifier import Verifier
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
SAMPLES, REPEATED, SEARCHED = 100, 30, 20
#: A small search each: what is judged is latency, not quality.
METHOD = MethodSettings(generation_size=8, generations=2)


class Bench:
    """The device, its database and the folder of the run."""

    def __init__(self, folder: Path, database: ProfileDatabase) -> None:
        self.folder = folder
        self.database = database
        self.device = find_device("local")
        self.runtime = find_runtime(self.device)
        self.settings = RunSettings()

    def campaign(self, plan: Plan) -> tuple[Measurement, ...]:
        """Measure, or read what was measured."""
        begun = time.monotonic()
        result = run_campaign(self.device, self.runtime, self.settings, plan, self.database)
        print(f"{plan.name}: {len(result.measurements)} in {time.monotonic() - begun:.0f} s")
        return result.measurements

    def find(self, predictor: WorkPredictor, proxy: Any, seconds: float) -> SearchResult:
        """Search under one limit."""
        superplm_shape = SPACE.largest
        request = SearchRequest(
            on_search_grid(SPACE, largest=superplm_shape),
            LatencyLimit(seconds),
            settings=METHOD,
            largest=superplm_shape,
        )
        verifier = Verifier(self.device, self.runtime, self.settings, self.database)
        out = self.folder / f"{1e3 * seconds:.3f}ms"
        return search(request, [Target(predictor, verifier)], proxy, out)


def disagreement(first: Sequence[Measurement], second: Sequence[Measurement]) -> dict[str, Any]:
    """How far two campaigns lie apart, as a share."""
    again = {m.architecture: m for m in second}
    pairs = [(m, again[m.architecture]) for m in first if m.architecture in again]
    apart = np.array([abs(b.latency_seconds / a.latency_seconds - 1) for a, b in pairs])
    calm = np.array([not (a.flagged or b.flagged) for a, b in pairs])
    return {
        "architectures": len(pairs),
        "mean": float(apart.mean()),
        "median": float(np.median(apart)),
        "percentile_95": float(np.quantile(apart, 0.95)),
        "flagged": int((~calm).sum()),
        "mean_unflagged": float(apart[calm].mean()) if calm.any() else None,
    }


def searched(results: Sequence[SearchResult], again: Sequence[Measurement]) -> dict[str, Any]:
    """Predicted, measured by the search, and measured again, under each limit."""
    measured = {m.architecture: m.latency_seconds for m in again}
    rows = [
        {
            "limit_seconds": r.constraint_seconds,
            "architecture": str(r.winner.architecture),
            "predicted_seconds": r.winner.predicted_seconds,
            "measured_seconds": r.winner.measured_seconds,
            "again_seconds": measured[r.winner.architecture],
        }
        for r in results
    ]
    error = [abs(row["predicted_seconds"] / row["again_seconds"] - 1) for row in rows]
    repeat = [abs(row["measured_seconds"] / row["again_seconds"] - 1) for row in rows]
    return {
        "predicted_against_measured": {
            "mape": float(np.mean(error)),
            "worst": float(np.max(error)),
            "searched_architectures": len(rows),
        },
        "measured_twice": {"mape": float(np.mean(repeat)), "worst": float(np.max(repeat))},
        "share_within_limit": float(
            np.mean([row["again_seconds"] <= row["limit_seconds"] for row in rows])
        ),
        "share_within_limit_by_a_percent": float(
            np.mean([row["again_seconds"] <= 1.01 * row["limit_seconds"] for row in rows])
        ),
        "rows": rows,
    }


def main() -> None:
    """Measure all of it and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("atb-runs/first-light"))
    folder: Path = parser.parse_args().out
    started = machine()
    begun = time.monotonic()
    with ProfileDatabase(folder / "profile.db", create=True) as database:
        bench = Bench(folder, database)
        first = bench.campaign(Plan.sample(SPACE, SAMPLES, name="first"))
        second = bench.campaign(Plan.sample(SPACE, REPEATED, name="second"))
        training = TrainingSet.from_measurements(first)
        predictor = fit(training, np.random.default_rng(0))
        evaluation = evaluate(predictor, training)

        latencies = np.sort([m.latency_seconds for m in first])
        limits = np.geomspace(latencies[5], latencies[-6], SEARCHED)
        proxy = make_proxy(load_superplm("mini"))
        results = []
        for number, seconds in enumerate(limits, start=1):
            results.append(bench.find(predictor, proxy, float(seconds)))
            winner = results[-1].winner
            print(f"search {number}/{SEARCHED}: {1e3 * seconds:.2f} ms, {winner.architecture}")
        again = bench.campaign(
            Plan(tuple(r.winner.architecture for r in results), name="again", within=0.01)
        )
    figures = {
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "disagreement_of_two_campaigns": disagreement(first[:REPEATED], second),
        "predictor_cross_validated": {
            **evaluation.to_json(),
            "flagged_left_out": training.excluded,
            "interval_half_width_median": predictor.summary.noise,
        },
        **searched(results, again),
    }
    path = write_result("first_light", figures, started)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
