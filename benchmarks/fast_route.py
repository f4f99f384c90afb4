"""What does AutoTinyBERT's fast route save, and what do its models lose?

Models for several latency limits at once, by two routes. The full one searches each limit by
evolution, and trains each winner further alone. The fast one draws for each limit once, among the
shapes that full searches prefer, and trains all winners further together as slices of one SuperPLM,
for a third of the steps in all, as the paper does (290 of its 870 GPU-hours). So that it is seen
where a difference comes from, what evolution found is trained together too. Latencies are those
of a predictor; what counts is how far a model lies from its teacher on held-out text, before and
after. The same command goes on with what is missing; what was interrupted begins anew, so that the
CPU seconds, of one thread, are of the whole.

    atb data prepare TEXT --limit-tokens 1000000 --out SHARDS
    python benchmarks/fast_route.py --predictor FILE --data SHARDS --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from atb.search.candidates import feasible, on_search_grid
from atb.search.constraint import LatencyLimit
from atb.search.methods import make_method
from atb.search.proxy import DistillationProxy
from atb.training.evaluation import HeldOut
from atb.training.further import space_of, train_further
from atb.training.objectives import Distillation
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher
from atb.training.trainer import train_superplm

SPACE = SPACES["mini"]
#: Limits at these shares of the space, by predicted latency.
SHARES = (0.2, 0.4, 0.6, 0.8)
METHODS = {"full": "evolved", "fast": "fast"}
#: Alone each is trained so long; together all of them take a third of the sum.
STEPS_ALONE, BATCH, LEARNING_RATE = 90, 16, 3e-4
STEPS_TOGETHER = len(SHARES) * STEPS_ALONE // 3


@dataclass(frozen=True)
class Bench:
    """What both routes use."""

    superplm: SuperPLM
    teacher: Teacher
    text: TokenShards
    out: Path

    def once(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a step found and how long it took; read where it was done before."""
        file = self.out / f"{name}.json"
        if file.is_file():
            return dict(json.loads(file.read_text()))
        begun = time.process_time()
        found = run()
        found["cpu_seconds"] = round(time.process_time() - begun, 1)
        file.write_text(json.dumps(found))
        print(name, found, flush=True)
        return found

    @property
    def objective(self) -> Distillation:
        """Towards the whole SuperPLM's last layer."""
        return Distillation(
            self.teacher, hidden_weight=10.0, attention_weight=0.0, sentence_weight=1.0
        )

    def losses(self, trained: SuperPLM, architectures: Sequence[Architecture]) -> list[float]:
        """On all of the held-out text; the searches score on a part of it."""
        judge = HeldOut(trained, held_out(), teacher=self.teacher)
        return [judge.loss(architecture) for architecture in architectures]

    def alone(self, architecture: Architecture) -> dict[str, Any]:
        """The model trained further by itself."""
        start = self.superplm.extract(architecture)
        own = SuperPLM(start.config)
        own.bert.load_state_dict(start.state_dict())
        out = self.out / f"alone-{architecture}"
        shutil.rmtree(out, ignore_errors=True)
        trained = train_further(
            own,
            self.text,
            out,
            objective=self.objective,
            steps=STEPS_ALONE,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
        )
        return {"loss": self.losses(trained, [architecture])[0]}

    def together(self, name: str, architectures: Sequence[Architecture]) -> dict[str, Any]:
        """The models trained further as slices of one SuperPLM, one of them in each step."""
        settings = TrainingSettings(
            space_of(*architectures),
            steps=STEPS_TOGETHER,
            batch_size=BATCH,
            sampling="uniform",
            random_samples=1,
            learning_rate=LEARNING_RATE,
            chosen=tuple(architectures),
        )
        out = self.out / f"together-{name}"
        shutil.rmtree(out, ignore_errors=True)
        trained = train_superplm(
            load_superplm("mini"),
            self.text,
            settings,
            out,
            objective=self.objective,
        )
        return {"losses": self.losses(trained, architectures)}


def main() -> None:
    """Search by both routes, train both ways, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictor", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="token shards")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = machine()
    arguments.out.mkdir(parents=True, exist_ok=True)
    superplm = load_superplm("mini")
    bench = Bench(superplm, Teacher.of(superplm), TokenShards.open(arguments.data), arguments.out)
    searches = {
        route: bench.once(f"search-{route}", lambda method=method: search(arguments, method))
        for route, method in METHODS.items()
    }
    figures: dict[str, Any] = {"limit_seconds": searches["full"]["limit_seconds"]}
    for route, found in searches.items():
        winners = [Architecture.parse(text) for text in found["winners"]]
        together = bench.once(
            f"together-{route}", lambda route=route, found=winners: bench.together(route, found)
        )
        figures[route] = {
            **found,
            "loss_of_the_slice": [round(loss, 4) for loss in bench.losses(superplm, winners)],
            "loss_trained_together": [round(loss, 4) for loss in together["losses"]],
            "cpu_seconds_together": together["cpu_seconds"],
        }
        if route == "full":
            alone = [bench.once(f"alone-{w}", lambda w=w: bench.alone(w)) for w in winners]
            figures[route] |= {
                "loss_trained_alone": [round(one["loss"], 4) for one in alone],
                "cpu_seconds_alone": round(sum(one["cpu_seconds"] for one in alone), 1),
            }
    full, fast = figures["full"], figures["fast"]
    figures["cost"] = {
        "full_cpu_seconds": round(full["cpu_seconds"] + full["cpu_seconds_alone"], 1),
        "fast_cpu_seconds": round(fast["cpu_seconds"] + fast["cpu_seconds_together"], 1),
        "full_training_steps": len(SHARES) * STEPS_ALONE,
        "fast_training_steps": STEPS_TOGETHER,
    }
    figures["mean_loss"] = {
        "full": round(float(np.mean(full["loss_trained_alone"])), 4),
        "full_together": round(float(np.mean(full["loss_trained_together"])), 4),
        "fast": round(float(np.mean(fast["loss_trained_together"])), 4),
    }
    print(figures)
    print(write_result("fast_route", figures, started))


def search(arguments: argparse.Namespace, method_name: str) -> dict[str, Any]:
    """The best of each limit by one method, and how many scores that took."""
    predictor = load(arguments.predictor)
    space = on_search_grid(SPACE, largest=SPACE.largest)
    whole = feasible(space, predictor, LatencyLimit(1.0, (1e-6, 1.0)), largest=SPACE.largest)
    limits = np.quantile(whole.predicted_seconds, SHARES).tolist()
    proxy = DistillationProxy(load_superplm("mini"))
    winners, scores, evaluations = [], [], 0
    for limit in limits:
        candidates = feasible(space, predictor, LatencyLimit(limit), largest=SPACE.largest)
        method = make_method(method_name, candidates, np.random.default_rng(0))
        told: dict[Architecture, float] = {}
        while not method.finished:
            asked = method.ask()
            scored = list(zip(asked, proxy.score(asked), strict=True))
            evaluations += len(scored)
            told |= {architecture: score for architecture, score in scored if score is not None}
            method.tell(scored)
        best = max(told, key=lambda architecture: (told[architecture], architecture))
        winners.append(str(best))
        scores.append(round(told[best], 4))
    return {
        "limit_seconds": limits,
        "winners": winners,
        "scores": scores,
        "evaluations": evaluations,
    }


if __name__ == "__main__":
    main()
