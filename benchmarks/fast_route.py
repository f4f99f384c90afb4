"""What does the fast route cost and give, beside the full one, for three limits at once?

Full: `evolved+` with 100 scores for each limit, each winner trained further on its own. Fast (of
AutoTinyBERT): 25 draws of the shapes that obey its rule, and all winners trained further at once,
in as many steps as one winner has in the full route. In between: full search with shared training.
Costs are processor minutes of this process; what comes out is the held-out loss of each winner
(distance from the whole SuperPLM), before and after. Limits are shares of the largest shape's
predicted latency.

    python benchmarks/fast_route.py --predictor FILE --data SHARDS --out FOLDER
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import machine, write_result

from atb.data.samples import held_out
from atb.data.shards import TokenShards
from atb.models.architecture import Architecture
from atb.models.embedded import load_superplm
from atb.models.space import SPACES
from atb.models.superplm import SuperPLM
from atb.predictor.file import load
from atb.predictor.predictor import LatencyPredictor
from atb.search.candidates import feasible, on_search_grid
from atb.search.constraint import LatencyLimit
from atb.search.contract import MethodSettings
from atb.search.methods import make_method
from atb.search.proxy import DistillationProxy
from atb.training.evaluation import HeldOut
from atb.training.further import space_of
from atb.training.objectives import Distillation
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher
from atb.training.trainer import train_superplm

SPACE = SPACES["mini"]
SHARES = (0.25, 0.4, 0.6)
STEPS, BATCH, LEARNING_RATE = 300, 32, 3e-4
SCORES = {"evolved+": MethodSettings(25, 4), "fast": MethodSettings(25, 1)}


def search(
    method: str, limit_seconds: float, predictor: LatencyPredictor, proxy: DistillationProxy
) -> Architecture:
    """The best-scoring one that a method finds."""
    candidates = feasible(
        on_search_grid(SPACE, largest=SPACE.largest),
        predictor,
        LatencyLimit(limit_seconds),
        largest=SPACE.largest,
    )
    asked = make_method(method, candidates, np.random.default_rng(0), SCORES[method])
    best: dict[Architecture, float] = {}
    while not asked.finished:
        generation = asked.ask()
        told = list(zip(generation, proxy.score(generation), strict=True))
        asked.tell(told)
        best |= {architecture: score for architecture, score in told if score is not None}
    return max(best, key=lambda a: best[a])


def train(winners: Sequence[Architecture], text: TokenShards, out: Path) -> SuperPLM:
    """A SuperPLM of which these slices alone were trained, one in each step."""
    start = load_superplm("mini")
    teacher = Teacher.of(load_superplm("mini"))
    settings = TrainingSettings(
        space_of(*winners),
        steps=STEPS,
        batch_size=BATCH,
        sampling="uniform",
        random_samples=1,
        learning_rate=LEARNING_RATE,
        bf16=True,
        chosen=tuple(winners),
    )
    objective = Distillation(teacher, hidden_weight=10.0, attention_weight=0.0, sentence_weight=1.0)
    return train_superplm(start, text, settings, out, objective=objective)


def minutes_of(job: Callable[[], Any]) -> tuple[Any, float]:
    """What a job returns, and its processor minutes."""
    begun = time.process_time()
    return job(), round((time.process_time() - begun) / 60, 2)


def main() -> None:
    """Search, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictor", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = machine()
    predictor, text = load(arguments.predictor), TokenShards.open(arguments.data)
    proxy = DistillationProxy(load_superplm("mini"))
    whole = float(predictor.predict_architectures([SPACE.largest]).latency_seconds[0])
    teacher = Teacher.of(load_superplm("mini"))

    def losses(superplm: SuperPLM, winners: Sequence[Architecture]) -> list[float]:
        judge = HeldOut(superplm, held_out(), teacher=teacher)
        return [round(judge.loss(winner), 4) for winner in winners]

    routes: dict[str, Any] = {}
    for method in SCORES:
        found = [
            minutes_of(lambda s=share, m=method: search(m, s * whole, predictor, proxy))
            for share in SHARES
        ]
        winners = [winner for winner, _ in found]
        told: dict[str, Any] = {
            "winners": [str(winner) for winner in winners],
            "search_minutes": round(sum(minutes for _, minutes in found), 2),
            "loss_as_sliced": losses(load_superplm("mini"), winners),
        }
        shutil.rmtree(arguments.out, ignore_errors=True)
        shared, minutes = minutes_of(lambda w=winners: train(w, text, arguments.out))
        told["shared"] = {"training_minutes": minutes, "loss": losses(shared, winners)}
        alone: list[float] = []
        minutes = 0.0
        for winner in winners if method == "evolved+" else ():
            shutil.rmtree(arguments.out)
            trained, taken = minutes_of(lambda w=winner: train([w], text, arguments.out))
            alone += losses(trained, [winner])
            minutes += taken
        if alone:
            told["alone"] = {"training_minutes": round(minutes, 2), "loss": alone}
        routes[method] = told
        print(method, told, flush=True)
    figures = {"shares_of_the_largest": SHARES, "steps": STEPS, "batch": BATCH, "routes": routes}
    print(write_result("fast_route", figures, started))


if __name__ == "__main__":
    main()
