"""What architectures are worth alone, by one fixed budget, and jobs that are done once.

An architecture is extracted from the SuperPLM, trained further with it as its teacher, and
fine-tuned on CoLA, MRPC, RTE and a part of SST-2. What each job found is a file, so that the same
command goes on with what is missing and several processes share the work.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from atb.data.corpus.shards import TokenShards
from atb.deploy.export import export_model
from atb.models.architecture import Architecture
from atb.models.superplm.bundled import BUNDLED
from atb.models.superplm.superplm import SuperPLM
from atb.training.finetuning.finetuning import fine_tune
from atb.training.finetuning.settings import with_changes
from atb.training.finetuning.task_model import TaskModel
from atb.training.finetuning.task_names import find_task
from atb.training.one_shot.further import train_further
from atb.training.one_shot.objectives import Distillation
from atb.training.teacher import Teacher

FOLDERS = {"cola": "CoLA", "mrpc": "MRPC", "rte": "RTE", "sst2": "SST-2"}
EPOCHS = {"cola": 3.0, "mrpc": 5.0, "rte": 5.0, "sst2": 3.0}
TRAIN_ROWS = {"sst2": 4000}
LEARNING_RATES = {"cola": 3e-4, "mrpc": 1e-4, "rte": 1e-4, "sst2": 3e-4}
FURTHER_LEARNING_RATE = 3e-4


@dataclass(frozen=True)
class Further:
    """How long a slice is trained alone before it is fine-tuned."""

    steps: int = 100
    batch: int = 32
    bf16: bool = True

    @property
    def budget(self) -> dict[str, Any]:
        """Everything that is fixed, for the record."""
        return {
            "epochs": EPOCHS,
            "train_rows": TRAIN_ROWS,
            "learning_rates": LEARNING_RATES,
            "further_learning_rate": FURTHER_LEARNING_RATE,
            "further_steps": self.steps,
            "further_batch": self.batch,
        }


@dataclass(frozen=True)
class Job:
    """Something to compute once: its name, which part of several does it, and how."""

    name: str
    share: int
    run: Callable[[], dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of this kind is told."""
    parser.add_argument(
        "--glue", type=Path, required=True, help="Folder that holds CoLA, MRPC, RTE and SST-2."
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="Folder of token shards for further training."
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", default="1/1")
    parser.add_argument(
        "--collect",
        action="store_true",
        help="Collect the jobs that are done, and compute nothing.",
    )
    parser.add_argument("--threads", type=int, default=1)


def do_jobs(
    jobs: Sequence[Job], kept: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Run this part of what is missing; what is known by then, by name."""
    part, parts = (int(number) for number in arguments.part.split("/"))
    known: dict[str, Any] = {}
    for job in jobs:
        file = arguments.out / "done" / f"{job.name}.json"
        if file.is_file():
            known[job.name] = json.loads(file.read_text())
        elif job.name in kept:
            known[job.name] = kept[job.name]
        elif job.share % parts == part - 1 and not arguments.collect:
            begun = time.monotonic()
            found = {**job.run(), "seconds": round(time.monotonic() - begun, 1), "on": processor()}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(found))
            told = {name: value for name, value in found.items() if name != "answers"}
            print(time.strftime("%H:%M:%S"), job.name, told, flush=True)
            known[job.name] = found
    if len(known) < len(jobs):
        print(f"{len(known)} of {len(jobs)} are done; the same command does the rest")
    return known


def processor() -> str:
    """What trains here."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def alone(
    superplm: SuperPLM,
    architecture: Architecture,
    task: str,
    *,
    seed: int,
    arguments: argparse.Namespace,
    further: Further = Further(),
) -> dict[str, Any]:
    """Train an extracted architecture further, by whichever part comes first, and fine-tune it."""
    name = f"{architecture}-{further.steps}x{further.batch}"
    model = arguments.out / "models" / name
    model.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{model}.lock"):
        if not (model / "atb.json").is_file():
            train_alone(superplm, architecture, model, TokenShards.open(arguments.data), further)
    settings = with_changes(
        task,
        epochs=EPOCHS[task],
        learning_rate=LEARNING_RATES[task],
        evaluation_steps=50,
        train_rows=TRAIN_ROWS.get(task),
    )
    settings = replace(settings, seed=seed, bf16=True)
    out = arguments.out / "alone" / f"{name}-{task}-{seed}"
    source = str(arguments.glue / FOLDERS[task])
    found = fine_tune(str(model), find_task(task), source, settings, out)
    tuned = TaskModel.load(str(out), find_task(task))
    features = tuned.encode(tuned.task.read(source, "dev"), settings.sequence_length)
    answers = np.argmax(tuned.run(features)[0], axis=-1)
    for weights in out.glob("*.safetensors"):
        weights.unlink()  # what counts is in the report
    return {
        "held_out": found.held_out,
        "dev": found.scores["dev"][found.metric],
        "answers": "".join(map(str, answers)),
    }


def train_alone(
    superplm: SuperPLM, architecture: Architecture, model: Path, text: TokenShards, further: Further
) -> None:
    """The architecture alone, taught by the whole SuperPLM on more text, exported."""
    run = model.with_name(f"{model.name}-run")
    trained = trained_alone(superplm, architecture, run, text, further)
    export_model(trained, architecture, model, source=BUNDLED["mini"])
    shutil.rmtree(run)


def trained_alone(
    superplm: SuperPLM, architecture: Architecture, run: Path, text: TokenShards, further: Further
) -> SuperPLM:
    """The architecture as a model of its own, taught by the whole SuperPLM on more text."""
    extracted = superplm.extract(architecture)
    start = SuperPLM(extracted.config)
    start.bert.load_state_dict(extracted.state_dict())
    return train_further(
        start,
        text,
        run,
        objective=towards(superplm),
        steps=further.steps,
        batch_size=further.batch,
        learning_rate=FURTHER_LEARNING_RATE,
        bf16=further.bf16,
    )


def towards(superplm: SuperPLM) -> Distillation:
    """Further training's objective: the last layer of the whole SuperPLM."""
    return Distillation(
        Teacher.of(superplm), hidden_weight=10.0, attention_weight=0.0, sentence_weight=1.0
    )
