"""How well campaigns repeat, beside the recipes of other tools, in turns on one machine.

Twenty architectures of `mini`, at least ten rounds; in a round every recipe measures all of them
once, in random order. Two tables: the recipes as published with their cost, and the statistics of
the other tools on as much time as `--within 1%` took. From the same rounds: how often real
intervals hold the truth (the mean of the other rounds), what `--within 1%` costs, and how well
each estimator repeats. The same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from atb.profiler.statistics.estimators import ESTIMATORS, LaunchEstimator
from atb.profiler.statistics.measurement import Measurement
from atb.profiler.statistics.sentinel import sentinel_level, sentinel_seconds
from benchmarks.shared.other_tools import RECIPES, STATISTICS, Recipe, time_by_recipe
from benchmarks.shared.record import machine, write_result

WITHIN = 0.01
#: What takes ten seconds a model is run on the first few only.
OPTIMUM_ARCHITECTURES = 2
#: Of the sentinel, to see how much hangs on the one that was chosen.
EXPONENTS = (0.0, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
#: HAT's 300 runs are to be undercut where a run is no trifle.
SLOW_SECONDS = 5e-3


class Bench:
    """The device and the folder of the rounds."""

    def __init__(self, folder: Path, architectures: Sequence[Architecture]) -> None:
        self.folder = folder
        self.architectures = list(architectures)
        self.device = find_device("local")
        self.runtime = find_runtime(self.device)
        folder.mkdir(parents=True, exist_ok=True)

    def ours(self, number: int) -> float:
        """One campaign of ours; what it took in seconds."""
        begun = time.monotonic()
        plan = Plan(tuple(self.architectures), name=f"round-{number}", within=WITHIN, seed=number)
        with ProfileDatabase(self.folder / "profile.db", create=True) as database:
            run_campaign(self.device, self.runtime, RunSettings(), plan, database)
        return time.monotonic() - begun

    def other_tool(self, name: str, seconds_each: float) -> dict[str, Any]:
        """One campaign by another tool: all runs of each architecture, and the seconds it took."""
        recipe = RECIPES.get(name, Recipe(5, 10, seconds_each, "median"))
        chosen = self.architectures
        if name == "optimum-benchmark":
            chosen = chosen[:OPTIMUM_ARCHITECTURES]
        found = time_by_recipe(self.device, self.runtime, chosen, lambda _: recipe)
        return {
            str(architecture): {"runs": [round(r, 8) for r in runs.tolist()], "took": took}
            for architecture, runs, took in found
        }

    def round(self, number: int, rng: np.random.Generator) -> None:
        """Every recipe once, in random order, each kept when it is done."""
        path = self.folder / f"round-{number}.json"
        done: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        for name in rng.permutation(["ours", "equal time", *RECIPES]):
            if name in done:
                continue
            if name == "ours":
                done[name] = self.ours(number)
            else:
                done[str(name)] = self.other_tool(str(name), self.seconds_each(done))
            path.write_text(json.dumps(done))

    def seconds_each(self, done: Mapping[str, Any]) -> float:
        """What a campaign of ours takes for one architecture; from the last round there is."""
        took = [done["ours"]] if "ours" in done else []
        for path in sorted(self.folder.glob("round-*.json")):
            took += [json.loads(path.read_text()).get("ours")]
        known = [seconds for seconds in took if seconds]
        return float(np.median(known)) / len(self.architectures) if known else 1.5


def spread(values: Sequence[Sequence[float]]) -> dict[str, float]:
    """Coefficient of variation between campaigns, in per cent, over architectures.

    Args:
        values: Latencies [architecture][campaign].
    """
    each = [100 * float(np.std(np.log(v), ddof=1)) for v in values if len(v) > 1]
    return {
        "median": round(float(np.median(each)), 3),
        "mean": round(float(np.mean(each)), 3),
        "worst": round(float(np.max(each)), 3),
    }


def own_level(m: Measurement, every: Sequence[Measurement]) -> float | None:
    """The sentinel's level from this campaign alone, as a database of its own would have it."""
    records = [r for other in every if other.campaign == m.campaign for r in other.blocks]
    records.sort(key=lambda r: r.readings.started_at)
    return sentinel_level(sentinel_seconds(record, threads=1) for record in records)


def coverage(values: Sequence[Sequence[Measurement]]) -> dict[str, float]:
    """Share of real intervals that hold the truth, which the other campaigns tell.

    Returns:
        `mean`: their plain mean is the truth; `weighted`: those of narrow intervals count more, by
        the inverse of the variance, since campaigns in a disturbed hour know less.
    """
    inside: dict[str, list[bool]] = {"mean": [], "weighted": []}
    for found in values:
        seconds = np.array([m.latency_seconds for m in found])
        weights = np.array([m.estimate.relative_half_width**-2 for m in found])
        for i, m in enumerate(found):
            low, high = m.interval_seconds
            others = np.delete(seconds, i)
            inside["mean"].append(low <= others.mean() <= high)
            weighted = np.average(others, weights=np.delete(weights, i))
            inside["weighted"].append(low <= weighted <= high)
    return {name: round(float(np.mean(held)), 4) for name, held in inside.items()}


def report(bench: Bench, rounds: int) -> dict[str, Any]:
    """All tables, from the files of the rounds."""
    documents = [json.loads((bench.folder / f"round-{i}.json").read_text()) for i in range(rounds)]
    with ProfileDatabase(bench.folder / "profile.db") as database:
        every = [m for m in read_measurements(database) if m.campaign.startswith("round-")]
    ours = [[m for m in every if m.architecture == a] for a in bench.architectures]
    levels = {m.campaign: own_level(m, every) for m in every}
    figures: dict[str, Any] = {
        "rounds": rounds,
        "architectures": [str(a) for a in bench.architectures],
        "milliseconds": [
            round(1e3 * float(np.mean([m.latency_seconds for m in f])), 3) for f in ours
        ],
        "recipes": {"ours, within 1 %": _ours_row(documents, ours)},
        "equal_time": {"ours, within 1 %": spread([[m.latency_seconds for m in f] for f in ours])},
        "ours_each_database_alone": spread(
            [
                [replace(m, sentinel_reference=levels[m.campaign]).latency_seconds for m in f]
                for f in ours
            ]
        ),
        "estimators": {
            name: spread([[replace(m, method=method).latency_seconds for m in f] for f in ours])
            for name, method in ESTIMATORS.items()
        },
        "exponents": {
            exponent: spread(
                [[replace(m, method=_corrected(exponent)).latency_seconds for m in f] for f in ours]
            )
            for exponent in EXPONENTS
        },
        "interval_coverage": coverage(ours),
        "flagged": float(np.mean([m.flagged for m in every])),
        "slowdown_of_campaigns": [
            round(float(np.median([m.slowdown for m in every if m.campaign == c])), 4)
            for c in sorted({m.campaign for m in every})
        ],
    }
    for name, recipe in RECIPES.items():
        figures["recipes"][name] = _peer_row(documents, name, recipe)
    for name, statistic in STATISTICS.items():
        figures["equal_time"][name] = spread(
            [
                [statistic(np.array(d["equal time"][str(a)]["runs"])) for d in documents]
                for a in bench.architectures
            ]
        )
    figures["cost"] = _cost(ours)
    return figures


def _corrected(exponent: float) -> LaunchEstimator:
    return LaunchEstimator("tried", 0.25, 0.5, exponent)


def _ours_row(documents: Sequence[Any], ours: Sequence[Sequence[Measurement]]) -> dict[str, Any]:
    took = float(np.mean([d["ours"] for d in documents])) / len(ours)
    return {
        "spread_percent": spread([[m.latency_seconds for m in found] for found in ours]),
        "seconds_each": round(took, 3),
    }


def _peer_row(documents: Sequence[Any], name: str, recipe: Recipe) -> dict[str, Any]:
    texts = list(documents[0][name])
    values = [[recipe.value(np.array(d[name][t]["runs"])) for d in documents] for t in texts]
    took = [d[name][t]["took"] for d in documents for t in texts]
    return {
        "spread_percent": spread(values),
        "seconds_each": round(float(np.mean(took)), 3),
        "architectures": len(texts),
    }


def _cost(ours: Sequence[Sequence[Measurement]]) -> dict[str, Any]:
    """Runs that `--within 1%` takes, against the 300 of HAT."""
    slow = [found for found in ours if found[0].latency_seconds > SLOW_SECONDS]
    runs = [sum(len(r.readings.wall_seconds) for r in m.blocks) for f in slow for m in f]
    warm = [sum(len(r.readings.warmup_seconds) for r in m.blocks) for f in slow for m in f]
    launches = [m.launches for found in ours for m in found]
    return {
        "slow_architectures": len(slow),
        "median_runs_of_slow": float(np.median(runs)) if slow else None,
        "median_warmup_runs_of_slow": float(np.median(warm)) if slow else None,
        "times_fewer_than_300": round(300 / float(np.median(runs)), 2) if slow else None,
        "median_launches": float(np.median(launches)),
        "within_reached": float(
            np.mean([m.estimate.relative_half_width <= WITHIN for f in ours for m in f])
        ),
    }


def main() -> None:
    """Run the rounds that are missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--architectures", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="Seed that draws the architectures.")
    parser.add_argument("--folder", type=Path, default=Path("atb-runs/repeatability"))
    arguments = parser.parse_args()
    started = machine()
    drawn = SPACES["mini"].sample(np.random.default_rng(arguments.seed), arguments.architectures)
    bench = Bench(arguments.folder, drawn)
    for number in range(arguments.rounds):
        bench.round(number, np.random.default_rng(number))
        print(f"round {number + 1} of {arguments.rounds} is done", flush=True)
    figures = report(bench, arguments.rounds)
    print(json.dumps(figures, indent=1))
    write_result("repeatability", figures, started)


if __name__ == "__main__":
    main()
