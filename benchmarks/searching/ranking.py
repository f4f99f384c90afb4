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

    python -m benchmarks.searching.ranking --glue FOLDER --data SHARDS --predictor FILE --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.bundled import load_superplm
from atb.models.superplm.superplm import SuperPLM
from atb.predictor.file import load
from atb.search.scoring.proxy import DistillationProxy
from atb.training.finetuning.elastic import ElasticSettings, elastic_scorer, finetune_elastic
from atb.training.finetuning.task_names import find_task
from benchmarks.searching.ranking_figures import agreement, draw
from benchmarks.searching.stand_alone import (
    EPOCHS,
    FOLDERS,
    LEARNING_RATES,
    TRAIN_ROWS,
    Further,
    Job,
    add_arguments,
    alone,
    do_jobs,
)
from benchmarks.shared.paths import RESULTS
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
JOBS = RESULTS / "ranking_jobs.json"
BANDS, IN_A_BAND, BAND_WIDTH = 4, 3, 0.03
SEEDS = (0, 1)


def main() -> None:
    """Compute what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument(
        "--predictor", type=Path, help="Predictor of latency that chooses the bands."
    )
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
    all_jobs = list(jobs(arguments, superplm, [a for band in chosen for a in band]))
    known = do_jobs(all_jobs, kept["found"], arguments)
    bands = [[str(a) for a in band] for band in chosen]
    if arguments.collect or arguments.part == "1/1":
        content = {"bands": bands, "latency_seconds": latencies, "found": known}
        JOBS.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    if len(known) < len(all_jobs):
        return
    figures = {
        "settings": Further().budget,
        "bands": bands,
        "latency_seconds": latencies,
        "trained_on": sorted({found["on"] for found in known.values()}),
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
    for number, task in enumerate(FOLDERS):
        yield Job(
            f"elastic {task}",
            number,
            lambda task=task: elastic(superplm, task, arguments, architectures),  # type: ignore[misc]
        )
    yield Job("held-out", 0, lambda: held_out(superplm, architectures))
    for seed in SEEDS:
        for number, architecture in enumerate(architectures):
            for task in FOLDERS:
                yield Job(
                    f"alone {architecture} {task} {seed}",
                    len(FOLDERS) + number,
                    lambda a=architecture, t=task, s=seed: alone(  # type: ignore[misc]
                        superplm, a, t, seed=s, arguments=arguments
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
        superplm, find_task(task), source, settings, out, vocabulary=read_vocabulary()
    )
    scorer = elastic_scorer(trained, out, source)
    begun = time.monotonic()
    scores = {str(a): scorer.score(a) for a in architectures}
    seconds = (time.monotonic() - begun) / len(architectures)
    return {"scores": scores, "seconds_a_candidate": round(seconds, 2)}


if __name__ == "__main__":
    main()


if __name__ == "__main__":
    main()
