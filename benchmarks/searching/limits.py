"""Do winners keep their limit on another hour, and how much of it do they use?

Eight limits spread over `mini`, float32 and int8, four seeds: 64 searches, each with a predictor
fitted on samples measured before. All winners are then measured again in one new campaign, at
least an hour after the last search: how many lie above their limit, and what share of it each
uses. The same command goes on with what is missing; the last campaign begins once the hour is over
(`--wait` for less; every row tells how many minutes later it was). All of it takes hours: `--seeds`
does a part, with a result file of its own, and `--finished` begins the last campaign with the
searches that there are.

    python -m benchmarks.searching.limits --out FOLDER --seeds 0,1
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.bundled import load_superplm
from atb.predictor.latency_fit import fit
from atb.predictor.predictor import WorkPredictor
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.measurement import Measurement
from atb.search.constraints.candidates import feasible, on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.request import SearchRequest
from atb.search.result import SearchResult, read_result
from atb.search.run import RESULT, search
from atb.search.scoring.proxy import DistillationProxy, Proxy
from atb.search.scoring.scores import ScoreFile
from atb.search.targets import Target
from atb.search.verifier import Verifier
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
SAMPLES, LIMITS, SEEDS = 100, 8, 4
PRECISIONS = ("fp32", "int8")


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
    only_finished: bool = False

    def measure(self, plan: Plan) -> tuple[Measurement, ...]:
        """Measure, or read what was measured."""
        device = find_device("local")
        runtime = find_runtime(device)
        return run_campaign(device, runtime, self.settings, plan, self.database).measurements

    def predictor(self) -> WorkPredictor:
        """Fitted on samples."""
        found = self.measure(Plan.sample(SPACE, SAMPLES, name="samples"))
        return fit(TrainingSet.from_measurements(found), np.random.default_rng(0))

    def searches(self, proxy: Proxy, seed: int) -> Iterator[SearchResult]:
        """Results of all limits."""
        predictor = self.predictor()
        space = on_search_grid(SPACE, largest=SPACE.largest)
        whole = feasible(space, predictor, LatencyLimit(1.0, (1e-6, 1.0)), largest=SPACE.largest)
        device = find_device("local")
        verifier = Verifier(device, find_runtime(device), self.settings, self.database)
        for limit in self.limits(whole.predicted_seconds):
            name = _name(self.settings.precision, limit, seed)
            if (self.out / name / RESULT).is_file():
                yield read_result(self.out / name / RESULT)
                continue
            if self.only_finished:
                continue
            request = SearchRequest(space, LatencyLimit(limit), seed=seed, largest=SPACE.largest)
            found = search(request, [Target(predictor, verifier)], proxy, self.out / name)
            print(name, found.winner.architecture, flush=True)
            yield found

    def limits(self, predicted_seconds: npt.NDArray[np.float64]) -> list[float]:
        """Spread over the space, the same for all seeds however its predictions move."""
        file = self.out / f"limits-{self.settings.precision}.json"
        if not file.is_file():
            shares = (np.arange(LIMITS) + 0.5) / LIMITS
            file.write_text(json.dumps(np.quantile(predicted_seconds, shares).tolist()))
        return [float(limit) for limit in json.loads(file.read_text())]


def parse_arguments() -> argparse.Namespace:
    """Words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default=",".join(map(str, range(SEEDS))))
    parser.add_argument(
        "--finished",
        action="store_true",
        help="Begin the last campaign with the searches that are done.",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=60,
        help="Minutes between the last search and the last campaign.",
    )
    return parser.parse_args()


def main() -> None:
    """Search, wait, measure again."""
    arguments = parse_arguments()
    out: Path = arguments.out
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    started = machine()
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with ProfileDatabase(out / "profile.db", create=True) as database:
        benches = {
            p: Bench(out, database, RunSettings(precision=p), arguments.finished)
            for p in PRECISIONS
        }
        distillation = DistillationProxy(load_superplm("mini"))
        with ScoreFile(out / "scores.jsonl", distillation) as scores:
            proxy = Known(distillation, scores)
            found: dict[str, list[tuple[int, SearchResult]]] = {name: [] for name in benches}
            for seed in seeds:
                for name, bench in benches.items():
                    found[name] += [(seed, result) for result in bench.searches(proxy, seed)]
        ended = {
            name: (out / name / RESULT).stat().st_mtime
            for precision, results in found.items()
            for seed, result in results
            for name in [_name(precision, result.constraint_seconds, seed)]
        }
        time.sleep(max(0.0, max(ended.values()) + 60 * arguments.wait - time.time()))
        begun = time.time()
        # of another name whenever there are more searches: all winners are measured side by side
        plan_name = f"again-{len(ended)}"
        for name, bench in benches.items():
            winners = dict.fromkeys(result.winner.architecture for _, result in found[name])
            again = {
                m.architecture: m
                for m in bench.measure(Plan(tuple(winners), name=plan_name, within=0.01))
            }
            rows += [
                told(name, seed, result, again[result.winner.architecture])
                | {
                    "minutes_later": round(
                        (begun - ended[_name(name, result.constraint_seconds, seed)]) / 60
                    )
                }
                for seed, result in found[name]
            ]
    shares = np.array([row["share_again"] for row in rows])
    figures = {
        "searches": len(rows),
        "minutes_later": [
            min(row["minutes_later"] for row in rows),
            max(row["minutes_later"] for row in rows),
        ],
        "above_their_limit": int((shares > 1).sum()),
        "least_share": float(shares.min()),
        "below_95_percent": int((shares < 0.95).sum()),
        "most_share": float(shares.max()),
        "rows": rows,
    }
    print({name: value for name, value in figures.items() if name != "rows"})
    print(write_result(f"limits_seeds_{'_'.join(map(str, seeds))}", figures, started))


def _name(precision: str, limit_seconds: float, seed: int) -> str:
    return f"{precision}-{1e3 * limit_seconds:.3f}ms-{seed}"


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
