"""Does the quality of slices grow with their size?

Sixty slices are drawn uniformly from the space of a SuperPLM. Told are the rank correlation between
their encoder multiply-adds and their agreement with the teacher, and by how much any slice is
better than one that holds it (every number at least as large). Some shapes that people know are
told by name.

    python -m benchmarks.training.sixty_slices [--superplm mini] [--teacher FOLDER] [--pairs FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from atb.data.corpus.sentence_pairs import SentencePairs
from atb.data.tokenizer.tokenizer_files import vocabulary_of
from atb.models.architecture import Architecture
from atb.models.space import SPACES
from atb.models.superplm.bundled import folder_of, load_superplm
from atb.training.one_shot.agreement import AgreementScorer
from atb.training.one_shot.objective_factory import load_teacher
from benchmarks.shared.record import machine, write_result

SLICES, SEED, TOKENS = 60, 2026, 32
NAMED = (
    "L1-H128-A2-Q64-F128",
    "L2-H256-A8-Q256-F512",
    "L3-H320-A9-Q288-F704",
    "L6-H256-A8-Q256-F512",
    "L3-H384-A12-Q384-F1536",
    "L4-H384-A12-Q384-F1024",
    "L6-H352-A11-Q352-F1216",
    "L6-H384-A12-Q384-F1536",
)


def main() -> None:
    """Score the slices and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--superplm", default="mini")
    parser.add_argument("--teacher", help="by default the whole SuperPLM")
    parser.add_argument("--pairs", type=Path, help="by default the shipped ones")
    parser.add_argument("--name", default="sixty_slices", help="of the result file")
    arguments = parser.parse_args()
    started = machine()
    superplm = load_superplm(arguments.superplm)
    scorer = AgreementScorer(
        superplm,
        vocabulary_of(folder_of(arguments.superplm)),
        SentencePairs.read(arguments.pairs),
        teacher=None if arguments.teacher is None else load_teacher(arguments.teacher),
    )
    drawn = SPACES["mini"].sample(np.random.default_rng(SEED), SLICES)
    found = {a: scorer.score(a) for a in (*drawn, *map(Architecture.parse, NAMED))}
    ranking = {a: agreement.ranking for a, agreement in found.items()}
    figures = {
        "superplm": arguments.superplm,
        "slice_layers": superplm.slice_layers,
        "teacher": "a given encoder" if arguments.teacher else scorer.teacher_description,
        "pairs": scorer.pairs.name if arguments.pairs is None else arguments.pairs.name,
        **grows(drawn, ranking),
        "named": {text: told(found[Architecture.parse(text)]) for text in NAMED},
        "slices": {str(a): told(found[a]) for a in drawn},
    }
    for name, value in figures.items():
        if name != "slices":
            print(name, value)
    print(write_result(arguments.name, figures, started))


def grows(drawn: list[Architecture], ranking: dict[Architecture, float]) -> dict[str, Any]:
    """How agreement goes with size."""
    adds = [a.multiply_adds(TOKENS) for a in drawn]
    scores = [ranking[a] for a in drawn]
    losses = {
        f"{small} in {large}": round(ranking[small] - ranking[large], 4)
        for small in drawn
        for large in drawn
        if small != large and small.fits(large)
    }
    worst = max(losses.items(), key=lambda item: item[1], default=("none", 0.0))
    return {
        "spearman": round(float(spearmanr(adds, scores).statistic), 4),
        "kendall": round(float(kendalltau(adds, scores).statistic), 4),
        "pairs_that_hold_another": len(losses),
        "worse_by_more_than_0.005": sum(loss > 0.005 for loss in losses.values()),
        "worst": worst,
        "mean": round(float(np.mean(scores)), 4),
    }


def told(agreement: Any) -> dict[str, float]:
    """The figures of a slice."""
    return {
        name: round(getattr(agreement, name), 4)
        for name in ("ranking", "nearest", "scores")
        if getattr(agreement, name) is not None
    }


if __name__ == "__main__":
    main()
