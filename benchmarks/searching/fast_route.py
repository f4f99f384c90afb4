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
    python -m benchmarks.searching.fast_route --predictor FILE --data SHARDS --out FOLDER
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

from atb.data.corpus.samples import held_out
from atb.data.corpus.shards import TokenShards
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.bundled import load_superplm
from atb.models.superplm.superplm import SuperPLM
from atb.predictor.file import load
from atb.search.constraints.candidates import feasible, on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.methods.methods import make_method
from atb.search.scoring.proxy import DistillationProxy
from atb.training.one_shot.evaluation import HeldOut
from atb.training.one_shot.further import space_of
from atb.training.one_shot.trainer import train_superplm
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher
from benchmarks.searching.stand_alone import FURTHER_LEARNING_RATE, Further, towards, trained_alone
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
#: Limits at these shares of the space, by predicted latency.
SHARES = (0.2, 0.4, 0.6, 0.8)
METHODS = {"full": "evolution", "fast": "fast"}
#: Alone each is trained so long; together all of them take a third of the sum.
ALONE = Further(steps=90, batch=16, bf16=False)
STEPS_TOGETHER = len(SHARES) * ALONE.steps // 3
#: Judged on so many sequences, spread over the held-out books.
SEQUENCES = 256


@dataclass(frozen=True)
class Bench:
    """What both routes use; what each step found is a file of `out`."""

    superplm: SuperPLM
    predictor: Path
    text: TokenShards
    out: Path

    def once(self, name: str, step: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """What a step found; read where it was done before."""
        file = self.out / f"{name}.json"
        if not file.is_file():
            run = self.out / name
            shutil.rmtree(run, ignore_errors=True)
            found = step(run)
            shutil.rmtree(run, ignore_errors=True)
            file.write_text(json.dumps(found))
            print(time.strftime("%H:%M:%S"), name, found, flush=True)
        return dict(json.loads(file.read_text()))

    def search(self, method_name: str) -> dict[str, Any]:
        """The best of each limit by one method, and how many scores that took."""
        begun = time.process_time()
        predictor = load(self.predictor)
        space = on_search_grid(SPACE, largest=SPACE.largest)
        whole = feasible(space, predictor, LatencyLimit(1.0, (1e-6, 1.0)), largest=SPACE.largest)
        limits = np.quantile(whole.predicted_seconds, SHARES).tolist()
        proxy = DistillationProxy(self.superplm)
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
            "cpu_seconds": round(time.process_time() - begun, 1),
        }

    def alone(self, architectures: Sequence[Architecture], run: Path) -> dict[str, Any]:
        """The models trained further one by one."""
        begun = time.process_time()
        trained = [
            trained_alone(self.superplm, each, run / str(each), self.text, ALONE)
            for each in architectures
        ]
        seconds = round(time.process_time() - begun, 1)
        losses = [
            self.losses(model, [each])[0]
            for model, each in zip(trained, architectures, strict=True)
        ]
        return {"losses": losses, "cpu_seconds": seconds}

    def together(self, architectures: Sequence[Architecture], run: Path) -> dict[str, Any]:
        """The models trained further as slices of one SuperPLM, one of them in each step."""
        settings = TrainingSettings(
            space_of(*architectures),
            steps=STEPS_TOGETHER,
            batch_size=ALONE.batch,
            sampling="uniform",
            random_samples=1,
            learning_rate=FURTHER_LEARNING_RATE,
            chosen=tuple(architectures),
        )
        begun = time.process_time()
        trained = train_superplm(
            load_superplm("mini"), self.text, settings, run, objective=towards(self.superplm)
        )
        seconds = round(time.process_time() - begun, 1)
        return {"losses": self.losses(trained, architectures), "cpu_seconds": seconds}

    def losses(self, trained: SuperPLM, architectures: Sequence[Architecture]) -> list[float]:
        """On more of the held-out text than the searches score on."""
        teacher = Teacher.of(self.superplm)
        judge = HeldOut(trained, held_out(limit=SEQUENCES), teacher=teacher)
        return [round(judge.loss(architecture), 4) for architecture in architectures]

    def route(self, name: str) -> dict[str, Any]:
        """A route's searches, and its models before and after further training."""
        found = self.once(f"search-{name}", lambda _: self.search(METHODS[name]))
        winners = [Architecture.parse(text) for text in found["winners"]]
        together = self.once(f"together-{name}", lambda run: self.together(winners, run))
        trained = {"together": together}
        if name == "full":
            trained["alone"] = self.once("alone-full", lambda run: self.alone(winners, run))
        sliced = self.once(
            f"slices-{name}", lambda _: {"losses": self.losses(self.superplm, winners)}
        )
        return {"search": found, "slices": sliced, **trained}


def main() -> None:
    """Search by both routes, train both ways, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictor", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="Folder of token shards.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = machine()
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = TokenShards.open(arguments.data)
    bench = Bench(load_superplm("mini"), arguments.predictor, text, arguments.out)
    routes = {name: bench.route(name) for name in METHODS}
    full, fast = routes["full"], routes["fast"]
    cost = {
        "full": full["search"]["cpu_seconds"] + full["alone"]["cpu_seconds"],
        "full_trained_together": full["search"]["cpu_seconds"] + full["together"]["cpu_seconds"],
        "fast": fast["search"]["cpu_seconds"] + fast["together"]["cpu_seconds"],
    }
    losses = {
        "slices_full": full["slices"]["losses"],
        "slices_fast": fast["slices"]["losses"],
        "full": full["alone"]["losses"],
        "full_trained_together": full["together"]["losses"],
        "fast": fast["together"]["losses"],
    }
    figures = {
        "steps_alone_each": ALONE.steps,
        "steps_together": STEPS_TOGETHER,
        "routes": routes,
        "cpu_seconds": {name: round(seconds, 1) for name, seconds in cost.items()},
        "mean_loss": {name: round(float(np.mean(each)), 4) for name, each in losses.items()},
    }
    print(figures)
    print(write_result("fast_route", figures, started))


if __name__ == "__main__":
    main()
