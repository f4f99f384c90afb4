"""How long does it take to score candidates by elastically fine-tuned SuperPLMs?

Random candidates of `mini`, each on the held-out rows of all tasks that benchmarks/ranking.py
fine-tuned SuperPLMs on, on one thread, in float32 and in bfloat16; and how far both agree on the
order. The reference fine-tunes each candidate, 1.5 GPU-hours.

    python benchmarks/elastic_scoring.py --glue FOLDER --out FOLDER (that of ranking.py)
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from ranking import FOLDERS, SPACE
from record import machine, write_result
from scipy.stats import kendalltau

from atb.models.superplm import SuperPLM
from atb.training.elastic import elastic_scorer


def main() -> None:
    """Score the candidates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glue", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=50)
    arguments = parser.parse_args()
    started = machine()
    drawn = SPACE.sample(np.random.default_rng(1), arguments.candidates)
    losses: dict[str, list[float]] = {}
    figures: dict[str, Any] = {"candidates": len(drawn), "seconds_a_candidate": {}}
    for precision in ("float32", "bfloat16"):
        total = np.zeros(len(drawn))
        seconds = {}
        for task, folder in FOLDERS.items():
            elastic = arguments.out / f"elastic-{task}"
            scorer = elastic_scorer(
                SuperPLM.load(elastic),
                elastic,
                str(arguments.glue / folder),
                bf16=precision == "bfloat16",
            )
            begun = time.perf_counter()
            total += [scorer.score(a)["loss"] for a in drawn]
            seconds[task] = round((time.perf_counter() - begun) / len(drawn), 3)
        losses[precision] = list(total)
        hours = sum(seconds.values()) * 1000 / 3600
        figures["seconds_a_candidate"][precision] = seconds
        figures[f"hours_for_1000_{precision}"] = round(hours, 2)
        print(precision, seconds, f"{hours:.2f} h for 1,000", flush=True)
    figures["tau_between_precisions"] = round(float(kendalltau(*losses.values()).statistic), 4)
    print(write_result("elastic_scoring", figures, started))


if __name__ == "__main__":
    main()
