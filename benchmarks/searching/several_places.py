"""What is the best model for each of three targets, and what the best for all of them?

The targets are settings of this machine: float32 on one thread, float32 on two, int8 on one. For
each a predictor is fitted on samples of `mini`, the limit is the predicted median latency of a
fixed shape, and its best model is searched; then one model for all three limits. Each winner is
measured on each target, in one campaign each at the end.

    python -m benchmarks.searching.several_places --out FOLDER
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
from atb.search.constraints.candidates import on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.request import SearchRequest
from atb.search.run import search
from atb.search.scoring.proxy import DistillationProxy, Proxy
from atb.search.targets import Target
from atb.search.verifier import Verifier
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
SAMPLES = 60
PLACES = {
    "fp32, 1 thread": RunSettings(),
    "fp32, 2 threads": RunSettings(threads=2),
    "int8, 1 thread": RunSettings(precision="int8"),
}
#: Its latency in a place is the limit there.
SHAPE = Architecture(4, 256, 8, 256, 768)


@dataclass(frozen=True)
class Bench:
    """The machine, and where things are kept."""

    out: Path
    database: ProfileDatabase
    proxy: Proxy

    def measure(self, settings: RunSettings, plan: Plan) -> dict[Architecture, float]:
        """Latencies by architecture."""
        device = find_device("local")
        found = run_campaign(device, find_runtime(device), settings, plan, self.database)
        return {m.architecture: m.latency_seconds for m in found.measurements}

    def predictor(self, settings: RunSettings) -> WorkPredictor:
        """Fitted on samples."""
        device = find_device("local")
        found = run_campaign(
            device,
            find_runtime(device),
            settings,
            Plan.sample(SPACE, SAMPLES, name="samples"),
            self.database,
        )
        return fit(TrainingSet.from_measurements(found.measurements), np.random.default_rng(0))

    def verifier(self, settings: RunSettings) -> Verifier:
        """Measures finalists."""
        device = find_device("local")
        return Verifier(device, find_runtime(device), settings, self.database)

    def find(
        self, name: str, limits: dict[str, float], predictors: dict[str, WorkPredictor]
    ) -> Architecture:
        """The best within all limits that are given."""
        limit = next(iter(limits.values()))
        request = SearchRequest(
            on_search_grid(SPACE, largest=SPACE.largest),
            LatencyLimit(limit),
            method="surrogate-evolution",
            largest=SPACE.largest,
        )
        targets = [
            Target(predictors[place], self.verifier(PLACES[place]), place, seconds)
            for place, seconds in limits.items()
        ]
        found = search(
            request,
            targets,
            self.proxy,
            self.out / name.replace(", ", "-").replace(" ", "-"),
        )
        print(name, found.winner, flush=True)
        return found.winner.architecture


def main() -> None:
    """Fit, search, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--result", default="several_places", help="Name of the result file.")
    arguments = parser.parse_args()
    out: Path = arguments.out
    started = machine()
    out.mkdir(parents=True, exist_ok=True)
    with ProfileDatabase(out / "profile.db", create=True) as database:
        bench = Bench(out, database, DistillationProxy(load_superplm("mini")))
        predictors = {name: bench.predictor(settings) for name, settings in PLACES.items()}
        limits = {
            name: float(predictor.predict_architectures([SHAPE]).latency_seconds[0])
            for name, predictor in predictors.items()
        }
        winners = {name: bench.find(name, {name: limits[name]}, predictors) for name in PLACES}
        winners["all"] = bench.find("all", limits, predictors)
        plan = Plan(tuple(dict.fromkeys(winners.values())), name="winners", within=0.01)
        measured = {name: bench.measure(settings, plan) for name, settings in PLACES.items()}
    scores = dict(zip(winners, bench.proxy.score(list(winners.values())), strict=True))
    figures: dict[str, Any] = {
        "limit_seconds": limits,
        "winners": {
            name: {
                "architecture": str(winner),
                "score": scores[name],
                "share_of_limit": {
                    place: round(measured[place][winner] / limits[place], 4) for place in PLACES
                },
            }
            for name, winner in winners.items()
        },
    }
    print(figures)
    print(write_result(arguments.result, figures, started))


if __name__ == "__main__":
    main()
