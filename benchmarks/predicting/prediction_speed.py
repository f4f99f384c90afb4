"""How fast predictions are: architectures a second, and the whole `kd` space filtered to a window.

The predictor is fitted on latencies of a formula that bends, so that it has its learned residual;
what is predicted does not matter here, how fast does. Beside it the published network of
AutoTinyBERT as it is asked there, one architecture at a time, extrapolated from a part of the
space.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.settings import RunSettings
from atb.models.space import FEATURES, SPACES
from atb.predictor.baselines.baselines import NeuralNetwork
from atb.predictor.file import load
from atb.predictor.fitting.basis import Observations
from atb.predictor.fitting.features import columns_of, rows_of
from atb.predictor.latency_fit import fit
from atb.predictor.predictor import WorkPredictor
from atb.predictor.training_set import TrainingSet
from atb.profiler.record import Conditions
from atb.search.constraints.candidates import feasible
from atb.search.constraints.latency import LatencyLimit
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["kd"]
ROWS, REPEATS = 4_000_000, 3
#: Single queries from which the whole space is extrapolated.
SINGLE_QUERIES = 5_000


def bending_predictor() -> WorkPredictor:
    """Fitted on two hundred latencies that no sum of work terms explains."""
    rows = rows_of(SPACE.sample(np.random.default_rng(0), 200))
    c = columns_of(rows)
    work = c.layers * c.hidden * (4 * c.qkv + 2 * c.feed_forward)
    idle = 1 + 0.05 * np.sin(c.feed_forward / 300) + 0.03 * (c.qkv % 16 != 0)
    seconds = (2e-4 + 2.5e-9 * work * idle) * np.random.default_rng(1).normal(1, 0.005, len(rows))
    conditions = Conditions("formula", (), "none", "1", RunSettings())
    training_set = TrainingSet(rows, seconds, 0.005 * seconds, conditions)
    return fit(training_set, np.random.default_rng(0))


def best_rate(work: Callable[[], Any], count: int) -> float:
    """Rows a second, the best of a few repetitions."""
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return count / min(taken)


def main() -> None:
    """Time all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--predictor", type=Path, help="Fitted predictor to use in place of the formula's."
    )
    path: Path | None = parser.parse_args().predictor
    started = machine()
    predictor = bending_predictor() if path is None else load(path)
    rows = np.concatenate(list(itertools.islice(SPACE.blocks(1_000_000), ROWS // 1_000_000)))
    halves = np.array_split(rows, 2)
    figures: dict[str, Any] = {
        "residual": predictor.model.residual is not None,
        "rows": len(rows),
        "rows_a_second_one_thread": round(best_rate(lambda: predictor.predict(rows), len(rows))),
    }
    with ThreadPoolExecutor(2) as pool:
        both = best_rate(lambda: list(pool.map(predictor.predict, halves)), len(rows))
        figures["rows_a_second_two_threads"] = round(both)

    middle = float(np.median(predictor.predict_architectures(SPACE.sample(
        np.random.default_rng(3), 1000)).latency_seconds))  # fmt: skip
    begun = time.perf_counter()
    found = feasible(SPACE, predictor, LatencyLimit(middle))
    figures["whole_space"] = {
        "architectures": SPACE.size,
        "within_window": len(found),
        "seconds": round(time.perf_counter() - begun, 2),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    figures["autotinybert_one_at_a_time"] = one_at_a_time()
    print(figures)
    print(f"written: {write_result('prediction_speed', figures, started)}")


def one_at_a_time() -> dict[str, float]:
    """The published network, asked as it is there; untrained, since speed does not hang on it."""
    columns = tuple(i for i, name in enumerate(FEATURES) if name != "heads")
    network = NeuralNetwork(columns, hidden=2000, steps=1)
    rows = rows_of(SPACE.sample(np.random.default_rng(4), 500))
    seconds = np.linspace(0.01, 0.02, len(rows))
    predict = network.fit(Observations(rows, seconds, np.zeros(500)), np.random.default_rng(0))
    begun = time.perf_counter()
    for i in range(SINGLE_QUERIES):
        predict(rows[i % len(rows)][None])
    each = (time.perf_counter() - begun) / SINGLE_QUERIES
    return {
        "seconds_each": each,
        "whole_space_hours_extrapolated": round(each * SPACE.size / 3600, 1),
    }


if __name__ == "__main__":
    main()
