"""Are slices as good as models that were trained alone, and are they in the same order?

Twelve shapes are cut out of the SuperPLM that a one-shot run began with, and each is trained alone
on its teacher's sentences, for one twelfth of the sentences of that run. Their agreement with the
teacher is set beside that of the slices of the trained SuperPLM, without any further training, and
Kendall's tau is told between both; and between the models trained alone and each score by which a
search can rank slices. The same command goes on with the models that are missing.

    python -m benchmarks.training.twelve_shapes --start FOLDER --superplm mini --teacher FOLDER \
        --data SHARDS [--data SHARDS] --sentences 10667 --out FOLDER
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from atb.data.corpus.shards import TokenShards
from atb.data.tokenizer.tokenizer_files import vocabulary_of
from atb.models.architecture import Architecture
from atb.models.superplm.bundled import folder_of, load_superplm
from atb.search.scoring.proxies import make_proxy
from atb.training.one_shot.agreement import AgreementScorer
from atb.training.one_shot.further import train_further
from atb.training.one_shot.improvement import slice_alone
from atb.training.one_shot.objective_factory import load_teacher
from atb.training.one_shot.objectives import Distillation
from benchmarks.shared.record import machine, write_result
from benchmarks.training.slice_quality import joined

#: From .3 to 9 million encoder parameters: narrow and deep ones, wide and shallow ones.
SHAPES = tuple(
    Architecture.parse(text)
    for text in (
        "L1-H192-A6-Q192-F384",
        "L2-H192-A6-Q192-F512",
        "L2-H256-A8-Q256-F512",
        "L1-H384-A12-Q384-F1536",
        "L4-H256-A8-Q256-F512",
        "L3-H320-A9-Q288-F704",
        "L6-H256-A8-Q256-F512",
        "L2-H384-A12-Q384-F1536",
        "L4-H320-A10-Q320-F1184",
        "L3-H384-A12-Q384-F1536",
        "L5-H384-A12-Q384-F1024",
        "L6-H352-A11-Q352-F1216",
    )
)
BATCH, LEARNING_RATE = 128, 5e-4


def main() -> None:
    """Train what is missing and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", required=True)
    parser.add_argument("--superplm", default="mini")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--data", type=Path, required=True, action="append")
    parser.add_argument("--sentences", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = machine()
    text = joined([TokenShards.open(folder) for folder in arguments.data])
    teacher = load_teacher(arguments.teacher)
    start, trained = load_superplm(arguments.start), load_superplm(arguments.superplm)
    start.slice_layers = trained.slice_layers
    words = vocabulary_of(folder_of(arguments.superplm))
    scorer = AgreementScorer(trained, words, teacher=teacher)
    alone = {
        shape: of_alone(shape, start, scorer, text, arguments=arguments, teacher=teacher)
        for shape in SHAPES
    }
    sliced = {shape: scorer.score(shape).ranking for shape in SHAPES}
    proxies = {name: make_proxy(trained, name) for name in ("agreement", "distillation")}
    ranked = {name: proxy.score(SHAPES) for name, proxy in proxies.items()}
    differences = [sliced[shape] - alone[shape] for shape in SHAPES]
    figures: dict[str, Any] = {
        "sentences_alone": arguments.sentences,
        "shapes": {
            str(shape): {"slice": round(sliced[shape], 4), "alone": round(alone[shape], 4)}
            for shape in SHAPES
        },
        "slice_minus_alone": round(float(np.mean(differences)), 4),
        "tau_slices_alone": tau(list(sliced.values()), list(alone.values())),
        "tau_of_proxies": {
            name: tau(found, list(alone.values())) for name, found in ranked.items()
        },
        "tau_of_multiply_adds": tau([a.multiply_adds(32) for a in SHAPES], list(alone.values())),
    }
    for name, value in figures.items():
        print(name, value)
    print(write_result("twelve_shapes", figures, started))


def tau(one: Any, other: Any) -> float:
    """Kendall's rank correlation."""
    return round(float(kendalltau(one, other).statistic), 3)


def of_alone(
    shape: Architecture,
    start: Any,
    scorer: AgreementScorer,
    text: TokenShards,
    *,
    arguments: argparse.Namespace,
    teacher: Any,
) -> float:
    """Agreement of a shape that was trained alone."""
    done = arguments.out / f"{shape}.json"
    if not done.is_file():
        model = train_further(
            slice_alone(start, shape),
            text,
            arguments.out / str(shape),
            objective=Distillation.of_sentences(teacher),
            steps=arguments.sentences // BATCH,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            bf16=True,
            by_length=True,
        )
        done.write_text(json.dumps({"ranking": scorer.score(shape, model).ranking}))
        print(shape, done.read_text(), flush=True)
    return float(json.loads(done.read_text())["ranking"])


if __name__ == "__main__":
    main()
