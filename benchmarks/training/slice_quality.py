"""What each technique of one-shot training on sentences is worth, at equal compute.

A SuperPLM is made from all-MiniLM-L6-v2, ordered by importance, and trained in the space `mini` to
keep what that encoder says of sentences. Every variant changes one thing, and takes as many steps
as its multiply-adds allow: those of the sub-models it draws, three times (forward and backward),
and those of the teacher. What counts is the agreement of a fixed list of slices with the encoder
on the shipped sentence pairs, and whether it grows with their multiply-adds. The same command goes
on with the runs that are missing.

    python -m benchmarks.training.slice_quality --encoder FOLDER --data SHARDS [--data SHARDS] \
        --out FOLDER

The shards are made by `atb data prepare TEXT --sentences --sequence-length 64`.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from atb.data.corpus.shards import TokenShards
from atb.data.tokenizer.tokenizer_files import read_vocabulary
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.slicing import SliceLayers
from atb.models.superplm.superplm import SuperPLM
from atb.training.one_shot import trainer
from atb.training.one_shot.agreement import AgreementScorer
from atb.training.one_shot.objectives import Distillation
from atb.training.one_shot.starting_point import initialise
from atb.training.sampling import Sampling, sampled_architectures
from atb.training.settings import TrainingSettings
from atb.training.teacher import Teacher
from benchmarks.shared.equal_compute import affordable, multiply_adds
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
#: Tokens of a sentence, for the count of multiply-adds.
SENTENCE_TOKENS = 30
SETTINGS = TrainingSettings(
    SPACE,
    steps=150,
    batch_size=256,
    batch_parts=4,
    sampling="anchored",
    random_samples=1,
    learning_rate=1e-3,
    bf16=True,
    by_length=True,
    checkpoint_steps=50,
)
SENTENCES = {"hidden_weight": 0.0, "sentence_weight": 1.0, "similarity_weight": 10.0}
STATES = {"hidden_weight": 10.0, "sentence_weight": 1.0, "similarity_weight": 0.0}
#: Shapes that people make by hand, and the one in the middle of a usual search.
NAMED = tuple(
    Architecture.parse(text)
    for text in (
        "L1-H128-A2-Q64-F128",
        "L2-H256-A8-Q256-F512",
        "L3-H320-A9-Q288-F704",
        "L6-H256-A8-Q256-F512",
        "L3-H384-A12-Q384-F1536",
        "L4-H384-A12-Q384-F1024",
        "L6-H352-A11-Q352-F1216",
        "L6-H384-A12-Q384-F1536",
    )
)
DRAWN = 24


class NormsOfWidths(SuperPLM):
    """LayerNorms of their own for each hidden size (slimmable networks, Yu et al., 2019)."""

    def __init__(self, whole: SuperPLM) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(whole))
        self.own = nn.ParameterDict(
            {
                f"{hidden}|{name.replace('.', '/')}": parameter.detach()[:hidden].clone()
                for hidden in SPACE.hidden.values
                for name, parameter in whole.named_parameters()
                if "LayerNorm" in name
            }
        )

    def _slice(self, name: str, parameter: Tensor, architecture: Architecture) -> Tensor:
        own = self.own.get(f"{architecture.hidden}|{name.replace('.', '/')}")
        return super()._slice(name, parameter, architecture) if own is None else own


class ProjectionsOfDepths(SuperPLM):
    """A projection into the teacher's space of its own for each number of layers."""

    def __init__(self, whole: SuperPLM) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(whole))
        self.own = nn.ParameterDict(
            {
                f"{layers}|{name.replace('.', '/')}": parameter.detach().clone()
                for layers in SPACE.layers.values
                for name, parameter in whole.named_parameters()
                if "projection" in name
            }
        )

    def _slice(self, name: str, parameter: Tensor, architecture: Architecture) -> Tensor:
        own = self.own.get(f"{architecture.layers}|{name.replace('.', '/')}")
        return super()._slice(name, parameter if own is None else own, architecture)


def as_it_is(whole: SuperPLM) -> SuperPLM:
    """Nothing is added."""
    return whole


@dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
        slice_layers: Which layers slices take.
        weights: Weights of the objective.
        settings: Changes to the common settings.
        wrap: What is added to the SuperPLM.
        average: Share of the old in a running average of weights at each step; 0 for none.
        large: Whether the larger of two draws is trained.
    """

    slice_layers: SliceLayers = "even"
    weights: tuple[tuple[str, float], ...] = tuple(SENTENCES.items())
    settings: tuple[tuple[str, Any], ...] = ()
    wrap: Callable[[SuperPLM], SuperPLM] = as_it_is
    average: float = 0.0
    large: bool = False


def changed(**settings: Any) -> Variant:
    """The common recipe with other settings."""
    return Variant(settings=tuple(settings.items()))


VARIANTS = {
    "the recipe": Variant(),
    "bottom layers": Variant(slice_layers="bottom"),
    "hidden states": Variant(weights=tuple(STATES.items())),
    "hidden states, bottom layers, sandwich": Variant(
        "bottom", tuple(STATES.items()), (("sampling", "sandwich"), ("random_samples", 2))
    ),
    "sentences and hidden states": Variant(
        weights=tuple({**SENTENCES, "hidden_weight": 1.0}.items())
    ),
    "vectors alone": Variant(weights=tuple({**SENTENCES, "similarity_weight": 0.0}.items())),
    "without the whole": changed(sampling="uniform"),
    "sandwich": changed(sampling="sandwich", random_samples=2),
    "sandwich, taught in place": changed(sampling="sandwich", random_samples=2, in_place=True),
    "one draw a step": changed(batch_parts=1),
    "half the batch": changed(batch_size=128),
    "twice the batch": changed(batch_size=512, batch_parts=8),
    "half the rate": changed(learning_rate=5e-4),
    "twice the rate": changed(learning_rate=2e-3),
    "norms of widths": Variant(wrap=NormsOfWidths),
    "projections of depths": Variant(wrap=ProjectionsOfDepths),
    "averaged weights": Variant(average=0.95),
    "the larger of two draws": Variant(large=True),
}


def main() -> None:
    """Train and judge every variant that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, action="append")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", action="append", help="these variants; no result is written")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = machine()
    text = joined([TokenShards.open(folder) for folder in arguments.data])
    start = starting_point(arguments.encoder, text, arguments.out / "start")
    budget = multiply_adds(SETTINGS, SETTINGS.steps, SENTENCE_TOKENS)
    runs: list[dict[str, Any]] = []
    names = arguments.only or list(VARIANTS)
    for seed, name in itertools.product(range(arguments.seeds), names):
        done = arguments.out / f"{name.replace(' ', '_').replace(',', '')}-{seed}.json"
        if not done.is_file():
            folder = done.with_suffix("")
            found = run(VARIANTS[name], seed, start, text, budget=budget, out=folder)
            done.write_text(json.dumps({"variant": name, "seed": seed, **found}))
        runs.append(json.loads(done.read_text()))
        print(time.strftime("%H:%M:%S"), name, seed, summary(runs[-1]), flush=True)
    if not arguments.only:
        figures = {
            "text": text.sha256,
            "settings": SETTINGS.to_json(),
            "multiply_adds": budget,
            "table": table(runs),
            "runs": runs,
        }
        print(write_result("slice_quality", figures, started))


def joined(parts: list[TokenShards]) -> TokenShards:
    """Several texts as one."""
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    shards = tuple(shard for part in parts for shard in part.shards)
    return replace(parts[0], shards=shards, sha256=digest)


def starting_point(encoder: Path, text: TokenShards, folder: Path) -> SuperPLM:
    """The encoder in order of importance; made once."""
    if not (folder / "superplm.json").is_file():
        initialise(encoder, text, dropout=0.0).save(folder)
    return SuperPLM.load(folder)


def run(
    variant: Variant,
    seed: int,
    start: SuperPLM,
    text: TokenShards,
    *,
    budget: float,
    out: Path,
) -> dict[str, Any]:
    """Train one variant from the common start; the agreement of the fixed slices on the way."""
    settings = replace(SETTINGS, seed=seed, **dict(variant.settings))
    drawing = larger_draws if variant.large else sampled_architectures
    steps = affordable(settings, budget, SENTENCE_TOKENS, drawing)
    settings = replace(settings, steps=steps)
    whole = SuperPLM(start.config, slice_layers=variant.slice_layers)
    whole.load_state_dict(start.state_dict())
    superplm, teacher = variant.wrap(whole), Teacher.of(start)
    scorer = AgreementScorer(superplm, read_vocabulary(), teacher=teacher)
    average = {name: p.detach().clone() for name, p in superplm.named_parameters()}
    curve: dict[str, dict[str, float]] = {}
    began = time.monotonic()

    def judged(step: trainer.TrainingStep) -> None:
        if variant.average:
            keep = min(variant.average, step.number / (step.number + 10))
            for name, parameter in superplm.named_parameters():
                average[name].lerp_(parameter.detach(), 1 - keep)
        if step.number * 3 // settings.steps != (step.number - 1) * 3 // settings.steps:
            curve[str(step.number)] = agreements(superplm, scorer, NAMED)

    objective = Distillation(teacher, attention_weight=0.0, **dict(variant.weights))
    trainer.sampled_architectures = drawing  # type: ignore[attr-defined]
    try:
        trainer.train_superplm(superplm, text, settings, out, objective=objective, progress=judged)
    finally:
        trainer.sampled_architectures = sampled_architectures  # type: ignore[attr-defined]
    seconds = time.monotonic() - began
    if variant.average:
        with torch.no_grad():
            for name, parameter in superplm.named_parameters():
                parameter.copy_(average[name])
    drawn = SPACE.sample(np.random.default_rng(2024), DRAWN)
    return {
        "steps": settings.steps,
        "seconds": round(seconds, 1),
        "curve": curve,
        "agreement": agreements(superplm, scorer, (*NAMED, *drawn)),
    }


def agreements(
    superplm: SuperPLM, scorer: AgreementScorer, slices: tuple[Architecture, ...]
) -> dict[str, float]:
    """Spearman's correlation with the teacher of each slice."""
    was_training = superplm.training
    superplm.eval()
    found = {str(a): round(scorer.score(a).ranking, 5) for a in slices}
    superplm.train(was_training)
    return found


def larger_draws(
    space: Any, sampling: Sampling, count: int, *, seed: int, step: int, part: int
) -> list[Architecture]:
    """Of two draws each the one with more multiply-adds."""
    twice = sampled_architectures(space, sampling, 2 * count, seed=seed, step=step, part=part)
    anchors, drawn = twice[: -2 * count], twice[-2 * count :]
    pairs = zip(drawn[::2], drawn[1::2], strict=True)
    return [
        *anchors,
        *(max(pair, key=lambda a: a.multiply_adds(SENTENCE_TOKENS)) for pair in pairs),
    ]


def summary(run: dict[str, Any]) -> dict[str, float]:
    """Mean agreement of the drawn slices, how it goes with multiply-adds, some by name."""
    found = {Architecture.parse(text): value for text, value in run["agreement"].items()}
    drawn = [a for a in found if a not in NAMED]
    adds = [a.multiply_adds(SENTENCE_TOKENS) for a in drawn]
    grows = spearmanr(adds, [found[a] for a in drawn]).statistic
    return {
        "mean": round(float(np.mean([found[a] for a in drawn])), 4),
        "with multiply-adds": round(float(grows), 3),
        **{str(NAMED[place]): found[NAMED[place]] for place in (0, 2, 4, 7)},
    }


def table(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each variant its figures: the mean over seeds, and their range."""
    rows = []
    for name in VARIANTS:
        of_it = [run for run in runs if run["variant"] == name]
        row: dict[str, Any] = {
            "variant": name,
            "steps": [run["steps"] for run in of_it],
            "seconds": [run["seconds"] for run in of_it],
        }
        found = [summary(run) for run in of_it]
        for which in found[0]:
            values = [each[which] for each in found]
            row[which] = round(float(np.mean(values)), 4)
            row[f"{which} range"] = [min(values), max(values)]
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
