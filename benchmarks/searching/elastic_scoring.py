"""How long does it take to score candidates by elastically fine-tuned SuperPLMs?

Random candidates of `mini`, each on the held-out rows of all tasks that ranking.py
fine-tuned SuperPLMs on: on one thread in float32 and in bfloat16, and in bfloat16 by as many
processes as the machine has CPUs, as `atb search --proxy task --bf16 --workers N` does; and how
far both precisions agree on the order. The reference fine-tunes each candidate, 1.5 GPU-hours.

    python -m benchmarks.searching.elastic_scoring --out FOLDER (that of ranking.py)
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from atb.search.scoring.executors import ProcessExecutor
from atb.search.scoring.proxies import make_proxy
from atb.search.scoring.task_proxy import TaskProxy
from benchmarks.searching.ranking import FOLDERS, SPACE
from benchmarks.shared.record import machine, write_result


def main() -> None:
    """Score the candidates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=20)
    arguments = parser.parse_args()
    started = machine()
    drawn = SPACE.sample(np.random.default_rng(1), arguments.candidates)
    folders = tuple(arguments.out / f"elastic-{task}" for task in FOLDERS)
    figures: dict[str, Any] = {
        "candidates": len(drawn),
        "tasks": list(FOLDERS),
        "seconds_a_candidate": {},
        "hours_for_1000": {},
    }

    def tell(name: str, seconds: float) -> None:
        each = seconds / len(drawn)
        figures["seconds_a_candidate"][name] = round(each, 3)
        figures["hours_for_1000"][name] = round(each * 1000 / 3600, 2)
        print(name, f"{each:.2f} s, {each / 3.6:.2f} h for 1,000", flush=True)

    scores = {}
    for name, bf16 in (("float32", False), ("bfloat16", True)):
        proxy = TaskProxy(folders, bf16=bf16)
        begun = time.perf_counter()
        scores[name] = proxy.score(drawn)
        tell(name, time.perf_counter() - begun)
    workers = ProcessExecutor(
        functools.partial(make_proxy, "mini", "task", folders, bf16=True), os.cpu_count() or 1
    )
    list(workers.scores(drawn[: os.cpu_count()]))  # processes have started and read their rows
    begun = time.perf_counter()
    together = {a: score for a, score, _ in workers.scores(drawn)}
    tell(f"bfloat16, {os.cpu_count()} processes", time.perf_counter() - begun)
    workers.close()
    figures["processes_give_the_same"] = [together[a] for a in drawn] == scores["bfloat16"]
    figures["tau_between_precisions"] = round(float(kendalltau(*scores.values()).statistic), 4)
    print(write_result("elastic_scoring", figures, started))


if __name__ == "__main__":
    main()
