"""Do winners keep their limit on another hour, and how much of it do they use?

Eight limits spread over `mini`, float32 and int8, four seeds: 64 searches, each with a predictor
fitted on samples measured before. All winners are then measured again in one new campaign, at
least an hour after the last search: how many lie above their limit, and what share of it each
uses. The same command goes on with what is missing; the last campaign begins once the hour is over.

    python benchmarks/limits.py --out FOLDER
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from record import machine, write_result

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.embedded import load_superplm
from atb.models.space import SPACES
from atb.predictor.fitting import fit
from atb.predictor.predictor import WorkPredictor
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign import run_campaign
from atb.profiler.database import ProfileDatabase
from atb.profiler.measurement import Measurement
from atb.profiler.plan import Plan
from atb.search.candidates import feasible, on_search_grid
from atb.search.constraint import LatencyLimit
from atb.search.proxy import DistillationProxy, Proxy
from atb.search.request import SearchRequest
from atb.search.result import SearchResult
from atb.search.run import search
from atb.search.scores import ScoreFile
from atb.search.verification import Verifier

SPACE = SPACES["mini"]
SAMPLES, LIMITS, SEEDS = 100, 8, 4
PRECISIONS = ("fp32", "int8")
WAIT_SECONDS = 3600.0


class Known:
    """A proxy whose scores all searches share."""

    def __init__(self, proxy: Proxy, scores: ScoreFile) -> None:
        self.name, self.key = proxy.name, proxy.key
        self._scores = scores

    def score(self, architectures: Sequence[Architecture]) -> list[float | None]:
        """Each computed once."""
        return [self._scores.score(architecture) for architecture in architectures]


@dataclass(frozen=True)
class Bench:
    """The machine in one precision."""

    out: Path
    database: ProfileDatabase
    settings: RunSettings

    def measure(self, plan: Plan) -> tuple[Measurement, ...]:
        """Measure, or read what was measured."""
        device = find_device("local")
        runtime = find_runtime(device)
        return run_campaign(device, runtime, self.settings, plan, self.database).measurements

    def predictor(self) -> WorkPredictor:
        """Fitted on samples."""
        found = self.measure(Plan.sample(SPACE, SAMPLES, name="samples"))
        return fit(TrainingSet.from_measurements(found), np.random.default_rng(0))

    def searches(self, proxy: Proxy) -> Iterator[tuple[int, SearchResult]]:
        """Results of all limits and seeds, with the seed."""
        predictor = self.predictor()
        space = on_search_grid(SPACE, largest=SPACE.largest)
        whole = feasible(space, predictor, LatencyLimit(1.0, (1e-6, 1.0)), largest=SPACE.largest)
        shares = (np.arange(LIMITS) + 0.5) / LIMITS
        device = find_device("local")
        verifier = Verifier(device, find_runtime(device), self.settings, self.database)
        for limit in np.quantile(whole.predicted_seconds, shares):
            for seed in range(SEEDS):
                request = SearchRequest(
                    space, LatencyLimit(float(limit)), seed=seed, largest=SPACE.largest
                )
                folder = self.out / f"{self.settings.precision}-{1e3 * limit:.3f}ms-{seed}"
                found = search(request, predictor, proxy, verifier, folder)
                print(
                    self.settings.precision,
                    f"{1e3 * limit:.3f} ms",
                    seed,
                    found.winner.architecture,
                )
                yield seed, found


def main() -> None:
    """Search, wait, measure again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    started = machine()
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with ProfileDatabase(out / "profile.db", create=True) as database:
        benches = {p: Bench(out, database, RunSettings(precision=p)) for p in PRECISIONS}
        distillation = DistillationProxy(load_superplm("mini"))
        with ScoreFile(out / "scores.jsonl", distillation) as scores:
            proxy = Known(distillation, scores)
            found = {name: list(bench.searches(proxy)) for name, bench in benches.items()}
        last = max(path.stat().st_mtime for path in out.glob("*/result.json"))
        time.sleep(max(0.0, last + WAIT_SECONDS - time.time()))
        for name, bench in benches.items():
            winners = dict.fromkeys(result.winner.architecture for _, result in found[name])
            again = {
                m.architecture: m
                for m in bench.measure(Plan(tuple(winners), name="again", within=0.01))
            }
            rows += [
                told(name, seed, result, again[result.winner.architecture])
                for seed, result in found[name]
            ]
    shares = np.array([row["share_again"] for row in rows])
    figures = {
        "searches": len(rows),
        "above_their_limit": int((shares > 1).sum()),
        "least_share": float(shares.min()),
        "below_95_percent": int((shares < 0.95).sum()),
        "most_share": float(shares.max()),
        "rows": rows,
    }
    print({name: value for name, value in figures.items() if name != "rows"})
    print(write_result("limits", figures, started))


def told(precision: str, seed: int, result: SearchResult, again: Measurement) -> dict[str, Any]:
    """One search: what it found, and what that takes now."""
    limit, winner = result.constraint_seconds, result.winner
    assert winner.measured_seconds is not None
    return {
        "precision": precision,
        "limit_seconds": limit,
        "seed": seed,
        "winner": str(winner.architecture),
        "score": winner.proxy,
        "best_score_of_all_scored": result.candidates[0].proxy,
        "share_in_the_search": round(winner.measured_seconds / limit, 4),
        "share_again": round(again.latency_seconds / limit, 4),
        "interval_again": [round(seconds / limit, 4) for seconds in again.interval_seconds],
        "flagged_again": again.flagged,
    }


if __name__ == "__main__":
    main()
