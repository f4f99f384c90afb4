"""Do cheap scores of slices rank architectures as their stand-alone selves would?

Twelve architectures in four bands of nearly equal latency. Each is extracted from the SuperPLM,
trained further and fine-tuned alone on CoLA, MRPC, RTE and a part of SST-2, by one fixed budget,
with two seeds: its stand-alone score, the mean over the tasks. Against it stand what a search could
know for seconds: the held-out loss of the slice, its scores and losses on the tasks by forward
passes of SuperPLMs that were fine-tuned once, its parameters and its multiply-adds. Agreement is
Kendall's tau with bootstrap intervals over architectures, beside what is attainable: the tau of
one seed's stand-alone scores with the other's. Hours; the same command goes on with what is
missing, and several processes share the work with --part 1/2 and --part 2/2. --collect puts what
was found into results/ranking_jobs.json, from where another machine goes on.

    python benchmarks/ranking.py --glue FOLDER --data SHARDS --predictor FILE --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ranking_figures import agreement, draw
from record import RESULTS, machine, write_result

from atb.data.shards import TokenShards
from atb.data.vocabulary import Vocabulary
from atb.models.architecture import Architecture
from atb.models.embedded import EMBEDDED, load_superplm
from atb.models.space import SPACES
from atb.models.superplm import SuperPLM
from atb.predictor.file import load
from atb.search.export import export_model
from atb.search.proxy import DistillationProxy
from atb.training.elastic import ElasticSettings, elastic_scorer, finetune_elastic
from atb.training.finetuning import fine_tune
from atb.training.finetuning_settings import with_changes
from atb.training.further import train_further
from atb.training.known_tasks import find_task
from atb.training.objectives import Distillation
from atb.training.teacher import Teacher

SPACE = SPACES["mini"]
JOBS = RESULTS / "ranking_jobs.json"
FOLDERS = {"cola": "CoLA", "mrpc": "MRPC", "rte": "RTE", "sst2": "SST-2"}
EPOCHS = {"cola": 3.0, "mrpc": 5.0, "rte": 5.0, "sst2": 3.0}
TRAIN_ROWS = {"sst2": 4000}
LEARNING_RATES = {"cola": 3e-4, "mrpc": 1e-4, "rte": 1e-4, "sst2": 3e-4}
FURTHER_STEPS, FURTHER_BATCH, FURTHER_LEARNING_RATE = 100, 32, 3e-4
BANDS, IN_A_BAND, BAND_WIDTH = 4, 3, 0.03
SEEDS = (0, 1)


@dataclass(frozen=True)
class Job:
    """Something to compute once: its name, which part of several does it, and how."""

    name: str
    share: int
    run: Callable[[], dict[str, Any]]


def main() -> None:
    """Compute what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glue", type=Path, required=True, help="folder of CoLA, MRPC, RTE, SST-2")
    parser.add_argument("--data", type=Path, required=True, help="token shards to train further on")
    parser.add_argument("--predictor", type=Path, help="of latency, to choose the bands by")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--collect", action="store_true", help="compute nothing; keep what is done")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    started = machine()
    superplm = load_superplm("mini")
    kept = json.loads(JOBS.read_text("utf-8")) if JOBS.is_file() else {"found": {}}
    if "latency_seconds" in kept:
        latencies = kept["latency_seconds"]
        chosen = [[Architecture.parse(text) for text in band] for band in kept["bands"]]
    else:
        chosen, latencies = banded(arguments.predictor)
    known: dict[str, Any] = {}
    part, parts = (int(number) for number in arguments.part.split("/"))
    all_jobs = list(jobs(arguments, superplm, [a for band in chosen for a in band]))
    for job in all_jobs:
        file = arguments.out / "done" / f"{job.name}.json"
        if file.is_file():
            known[job.name] = json.loads(file.read_text())
        elif job.name in kept["found"]:
            known[job.name] = kept["found"][job.name]
        elif job.share % parts == part - 1 and not arguments.collect:
            begun = time.monotonic()
            found = {**job.run(), "seconds": round(time.monotonic() - begun, 1)}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(found))
            print(time.strftime("%H:%M:%S"), job.name, found, flush=True)
            known[job.name] = found
    if arguments.collect or parts == 1:
        bands = [[str(a) for a in band] for band in chosen]
        content = {"bands": bands, "latency_seconds": latencies, "found": known}
        JOBS.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    if len(known) < len(all_jobs):
        print(f"{len(known)} of {len(all_jobs)} are done; the same command does the rest")
        return
    figures = {
        "settings": {
            "epochs": EPOCHS,
            "train_rows": TRAIN_ROWS,
            "learning_rates": LEARNING_RATES,
            "further_learning_rate": FURTHER_LEARNING_RATE,
            "further_steps": FURTHER_STEPS,
            "further_batch": FURTHER_BATCH,
        },
        "bands": [[str(a) for a in band] for band in chosen],
        "latency_seconds": latencies,
        "hours": round(sum(found["seconds"] for found in known.values()) / 3600, 2),
    }
    figures |= agreement(chosen, known, list(FOLDERS), SEEDS)
    draw(figures)
    print(write_result("ranking", figures, started))


def banded(predictor: Path) -> tuple[list[list[Architecture]], dict[str, float]]:
    """Bands of architectures of nearly equal predicted latency, spread over the space.

    In each band, the shallowest, the deepest and one between them.
    """
    drawn = SPACE.sample(np.random.default_rng(7), 4000)
    seconds = load(predictor).predict_architectures(drawn).latency_seconds
    bands = []
    for share in (np.arange(BANDS) + 0.5) / BANDS:
        middle = np.quantile(seconds, share)
        inside = np.flatnonzero(np.abs(seconds / middle - 1) <= BAND_WIDTH)
        ordered = sorted((drawn[place] for place in inside), key=lambda a: (a.layers, a.hidden))
        places = np.linspace(0, len(ordered) - 1, IN_A_BAND).round().astype(int)
        bands.append([ordered[place] for place in places])
    latency = dict(zip(drawn, map(float, seconds), strict=True))
    return bands, {str(a): latency[a] for band in bands for a in band}


def jobs(
    arguments: argparse.Namespace, superplm: SuperPLM, architectures: list[Architecture]
) -> Iterator[Job]:
    """All that is to be computed, what teaches most first."""
    out = arguments.out
    for number, task in enumerate(FOLDERS):
        yield Job(
            f"elastic {task}",
            number,
            lambda task=task: elastic(superplm, task, arguments, architectures),  # type: ignore[misc]
        )
    yield Job("held-out", 0, lambda: held_out(superplm, architectures))
    for seed in SEEDS:
        for number, architecture in enumerate(architectures):  # one part trains it further
            model = out / "models" / str(architecture)
            for task in FOLDERS:
                yield Job(
                    f"alone {architecture} {task} {seed}",
                    number,
                    lambda a=architecture, m=model, t=task, s=seed: alone(  # type: ignore[misc]
                        superplm, a, m, t, seed=s, arguments=arguments
                    ),
                )


def held_out(superplm: SuperPLM, architectures: list[Architecture]) -> dict[str, Any]:
    """Minus the held-out losses of the slices."""
    scores = DistillationProxy(superplm).score(architectures)
    return {"scores": dict(zip(map(str, architectures), scores, strict=True))}


def elastic(
    superplm: SuperPLM,
    task: str,
    arguments: argparse.Namespace,
    architectures: list[Architecture],
) -> dict[str, Any]:
    """Fine-tune all slices at once; score those asked for by forward passes."""
    settings = ElasticSettings(
        SPACE,
        epochs=EPOCHS[task],
        learning_rate=LEARNING_RATES[task],
        train_rows=TRAIN_ROWS.get(task),
        bf16=True,
    )
    out, source = arguments.out / f"elastic-{task}", str(arguments.glue / FOLDERS[task])
    trained = finetune_elastic(
        superplm, find_task(task), source, settings, out, vocabulary=Vocabulary.read()
    )
    scorer = elastic_scorer(trained, out, source)
    begun = time.monotonic()
    scores = {str(a): scorer.score(a) for a in architectures}
    seconds = (time.monotonic() - begun) / len(architectures)
    return {"scores": scores, "seconds_a_candidate": round(seconds, 2)}


def alone(
    superplm: SuperPLM,
    architecture: Architecture,
    model: Path,
    task: str,
    *,
    seed: int,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Train an extracted architecture further, once, and fine-tune it."""
    if not (model / "atb.json").is_file():
        further(superplm, architecture, model, TokenShards.open(arguments.data))
    settings = with_changes(
        task,
        epochs=EPOCHS[task],
        learning_rate=LEARNING_RATES[task],
        evaluation_steps=50,
        train_rows=TRAIN_ROWS.get(task),
    )
    settings = replace(settings, seed=seed, bf16=True)
    out = arguments.out / "alone" / f"{architecture}-{task}-{seed}"
    found = fine_tune(
        str(model), find_task(task), str(arguments.glue / FOLDERS[task]), settings, out
    )
    for weights in out.glob("*.safetensors"):
        weights.unlink()  # what counts is in the report
    return {"held_out": found.held_out, "dev": found.scores["dev"][found.metric]}


def further(superplm: SuperPLM, architecture: Architecture, model: Path, text: TokenShards) -> None:
    """The architecture alone, taught by the whole SuperPLM on more text."""
    extracted = superplm.extract(architecture)
    start = SuperPLM(extracted.config)
    start.bert.load_state_dict(extracted.state_dict())
    teacher = Teacher.of(superplm)
    run = model.with_name(f"{model.name}-run")
    trained = train_further(
        start,
        text,
        run,
        objective=Distillation(
            teacher, hidden_weight=10.0, attention_weight=0.0, sentence_weight=1.0
        ),
        steps=FURTHER_STEPS,
        batch_size=FURTHER_BATCH,
        learning_rate=FURTHER_LEARNING_RATE,
        bf16=True,
    )
    export_model(trained, architecture, model, source=EMBEDDED["mini"])
    shutil.rmtree(run)


if __name__ == "__main__":
    main()
