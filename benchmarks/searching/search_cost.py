"""What does it cost to rank ten thousand architectures, and to know all that meet a limit?

300 random candidates of `mini` within the window of a limit are scored by held-out distillation, a
surrogate is fitted on them, and 10,000 others are ranked by it and the predictor tells their
latency. How well it ranks is told by scores it has not seen: five folds of the 300. Then the
exact feasible set of `kd`, on the grid of a search and whole.

    python -m benchmarks.searching.search_cost --predictor FILE
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from atb.models.space import SPACES
from atb.models.superplm.bundled import load_superplm
from atb.predictor.file import load
from atb.predictor.fitting.features import rows_of
from atb.search.constraints.candidates import feasible, on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.methods.surrogate_evolution import Surrogate
from atb.search.scoring.proxy import DistillationProxy
from benchmarks.shared.record import machine, write_result

SCORED, RANKED, FOLDS = 300, 10_000, 5
LIMIT_SECONDS, WINDOW = 0.006, (0.3, 1.0)


def main() -> None:
    """Score, rank, enumerate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictor", type=Path, required=True)
    parser.add_argument("--result", default="search_cost", help="Name of the result file.")
    arguments = parser.parse_args()
    started = machine()
    predictor = load(arguments.predictor)
    begun = time.perf_counter()
    proxy = DistillationProxy(load_superplm("mini"))
    candidates = feasible(SPACES["mini"], predictor, LatencyLimit(LIMIT_SECONDS, WINDOW))
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(candidates), SCORED + RANKED, replace=False)
    scored = [candidates.architecture(place) for place in drawn[:SCORED]]
    scores = np.array(proxy.score(scored))
    seconds = {"scoring": time.perf_counter() - begun}
    begun = time.perf_counter()
    rows = candidates.rows()
    surrogate = Surrogate(rows).fit(rows_of(scored), scores)
    expected = surrogate.predict(rows[drawn[SCORED:]])
    latency = predictor.predict(rows[drawn[SCORED:]]).latency_seconds
    seconds["ranking"] = time.perf_counter() - begun
    taus = [tau(rows, rows_of(scored), scores, fold) for fold in range(FOLDS)]
    figures: dict[str, Any] = {
        "candidates": len(candidates),
        "scored": SCORED,
        "ranked": len(expected),
        "fastest_and_slowest_ranked_seconds": [float(latency.min()), float(latency.max())],
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "minutes_in_all": round(sum(seconds.values()) / 60, 2),
        "tau_of_folds": [round(value, 3) for value in taus],
        "tau": round(float(np.mean(taus)), 3),
    }
    for name, space in (("grid", on_search_grid(SPACES["kd"])), ("whole", SPACES["kd"])):
        begun = time.perf_counter()
        found = feasible(space, predictor, LatencyLimit(0.03))
        figures[f"kd_{name}"] = {
            "architectures": space.size,
            "feasible": len(found),
            "seconds": round(time.perf_counter() - begun, 2),
        }
    print(figures)
    print(write_result(arguments.result, figures, started))


def tau(
    population: npt.NDArray[Any], rows: npt.NDArray[Any], scores: npt.NDArray[Any], fold: int
) -> float:
    """Kendall's tau on a fold that the surrogate has not seen."""
    held = np.arange(len(scores)) % FOLDS == fold
    fitted = Surrogate(population).fit(rows[~held], scores[~held])
    return float(kendalltau(fitted.predict(rows[held]), scores[held]).statistic)


if __name__ == "__main__":
    main()
