"""What each technique of one-shot training is worth, at equal compute.

A SuperPLM is made from all-MiniLM-L6-v2 and trained to keep its own last layer, in a space whose
heads narrow as in the paper's KD space. Every variant leaves one technique out, or adds one, and
takes as many steps as its multiply-adds allow: those of the sub-models it draws, three times
(forward and backward), and of the teacher. What counts is the held-out loss of a fixed list of
slices. The same command goes on with the runs that are missing.

    python -m benchmarks.training.one_shot_techniques --encoder FOLDER --data SHARDS --out FOLDER
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import atb.models.superplm.superplm
from atb.data.corpus.samples import held_out
from atb.data.corpus.shards import TokenShards
from atb.models.architecture import Architecture
from atb.models.space import Dimension, SearchSpace
from atb.models.superplm.modeling_tinybert import TinyBertConfig
from atb.models.superplm.slicing import axes_of, slice_parameter
from atb.models.superplm.superplm import SuperPLM
from atb.training.one_shot.evaluation import evaluate
from atb.training.one_shot.objectives import Distillation
from atb.training.one_shot.starting_point import initialise
from atb.training.one_shot.trainer import train_superplm
from atb.training.reading import read_encoder
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher
from benchmarks.shared.equal_compute import affordable, multiply_adds
from benchmarks.shared.record import machine, write_result

SPACE = SearchSpace(
    "narrowing",
    layers=Dimension(1, 6),
    hidden=Dimension(128, 384, 16),
    heads=Dimension(12, 12),
    feed_forward=Dimension(128, 1536, 32),
    qkv=Dimension(96, 384, 12),
)
LENGTH, SLICES, HELD_OUT = 128, 12, 100
ALL = TrainingSettings(
    SPACE,
    steps=120,
    batch_size=16,
    batch_parts=4,
    sampling="uniform",
    random_samples=3,
    learning_rate=5e-4,
    bf16=True,
    checkpoint_steps=50,
)


@dataclass(frozen=True)
class Variant:
    """A way to train: its settings, the rule by which slices are cut, and where it starts."""

    settings: TrainingSettings
    contiguous: bool = False
    ordered: bool = True


VARIANTS = {
    "all of the paper's, from an ordered encoder": Variant(ALL),
    "one draw for the whole batch": Variant(replace(ALL, batch_parts=1)),
    "one sample a batch": Variant(replace(ALL, random_samples=1)),
    "contiguous rows, not the first of each head": Variant(ALL, contiguous=True),
    "encoder in its own order": Variant(ALL, ordered=False),
    "sandwich": Variant(replace(ALL, sampling="sandwich", random_samples=2)),
    "sandwich, taught in place": Variant(
        replace(ALL, sampling="sandwich", random_samples=2, in_place=True)
    ),
}


def main() -> None:
    """Train and judge every variant that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = machine()
    text = TokenShards.open(arguments.data)
    starts = {
        True: initialise(arguments.encoder, text, dropout=0.0),
        False: in_own_order(arguments.encoder),
    }
    budget = multiply_adds(ALL, ALL.steps, LENGTH)
    runs: list[dict[str, Any]] = []
    for seed, (name, variant) in itertools.product(range(arguments.seeds), VARIANTS.items()):
        done = arguments.out / f"{name.replace(' ', '_')}-{seed}.json"
        if not done.is_file():
            found = run(
                variant,
                seed,
                starts[variant.ordered],
                text,
                budget=budget,
                out=done.with_suffix(""),
            )
            done.write_text(json.dumps({"variant": name, "seed": seed, **found}))
        runs.append(json.loads(done.read_text()))
        print(time.strftime("%H:%M:%S"), name, seed, runs[-1]["losses"]["mean"], flush=True)
    figures = {
        "text": text.sha256,
        "settings": ALL.to_json(),
        "multiply_adds": budget,
        "table": table(runs),
        "runs": runs,
    }
    print(write_result("one_shot_techniques", figures, started))


def in_own_order(encoder: Path) -> SuperPLM:
    """The encoder as it is; it projects into its own space as it stands."""
    plain = read_encoder(encoder, dropout=0.0)
    hidden = plain.config.hidden_size
    config = TinyBertConfig(**{**plain.config.to_dict(), "projection_size": hidden})
    whole = SuperPLM(config, with_mlm_head=plain.cls is not None)
    whole.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        whole.bert.projection.weight.copy_(torch.eye(hidden))
        whole.bert.projection.bias.zero_()
    return whole.eval()


def run(
    variant: Variant,
    seed: int,
    start: SuperPLM,
    text: TokenShards,
    *,
    budget: float,
    out: Path,
) -> dict[str, Any]:
    """Train one variant from the common start; the losses of the fixed slices."""
    settings = replace(variant.settings, seed=seed)
    settings = replace(settings, steps=affordable(settings, budget, LENGTH))
    teacher = Teacher.of(start)
    superplm = SuperPLM(start.config, with_mlm_head=start.cls is not None)
    superplm.load_state_dict(start.state_dict())
    objective = Distillation(teacher, hidden_weight=10.0, attention_weight=0.1, sentence_weight=1.0)
    slices = [
        SPACE.smallest,
        *SPACE.sample(np.random.default_rng(2024), SLICES),
        SPACE.largest,
    ]
    with contiguous_rows() if variant.contiguous else as_it_is():
        trained = train_superplm(superplm, text, settings, out, objective=objective)
        judged = held_out(LENGTH, HELD_OUT)
        losses = evaluate(trained, slices, judged, teacher=teacher)
    return {
        "steps": settings.steps,
        "losses": {
            "mean": float(np.mean(losses[1:-1])),
            "smallest": losses[0],
            "largest": losses[-1],
            "slices": dict(zip(map(str, slices[1:-1]), losses[1:-1], strict=True)),
        },
    }


@contextmanager
def contiguous_rows() -> Iterator[None]:
    """Cut slices as the reference does where its flag is left out: the first Q rows, whole."""

    def contiguous(
        name: str, parameter: Tensor, whole: Architecture, architecture: Architecture
    ) -> Tensor:
        # as if heads were never narrowed, so that the rows taken lie together
        widths = replace(whole, heads=1, qkv=whole.qkv), replace(architecture, heads=1)
        if "attention" not in axes_of(name):
            return slice_parameter(name, parameter, whole, architecture)
        return slice_parameter(name, parameter, *widths)

    atb.models.superplm.superplm.slice_parameter = contiguous  # type: ignore[attr-defined]
    try:
        yield
    finally:
        atb.models.superplm.superplm.slice_parameter = slice_parameter  # type: ignore[attr-defined]


@contextmanager
def as_it_is() -> Iterator[None]:
    """Nothing is changed."""
    yield


def table(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each variant, its losses: the mean over seeds, and their range."""
    rows = []
    for name in VARIANTS:
        of_it = [run for run in runs if run["variant"] == name]
        row: dict[str, Any] = {"variant": name, "steps": [run["steps"] for run in of_it]}
        for which in ("mean", "smallest", "largest"):
            losses = [run["losses"][which] for run in of_it]
            row[which] = round(float(np.mean(losses)), 4)
            row[f"{which}_range"] = [round(min(losses), 4), round(max(losses), 4)]
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
