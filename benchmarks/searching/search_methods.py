r"""How many scores does each search method need for how good a candidate?

About a thousand architectures of `mini` on a coarse grid, all those within the window below one
limit, are scored once by held-out distillation, completely: results/search_methods.csv. On that
table every method searches over and over with other seeds, at no cost: its best-so-far curve, and
the scores until it holds what evolution holds at its end. Surrogate-evolution searches twice, with
all scores and with pruning, where a pruned candidate counts as an eighth of a score. The table
is made once, with a predictor (the same command goes on), or scored anew for another SuperPLM with
--again; without either the committed one is replayed.

    python -m benchmarks.searching.search_methods [--predictor FILE --limit 6ms | --again] \
        [--table FILE]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from atb.models.architecture import Architecture
from atb.models.space import SPACES, SearchSpace
from atb.models.superplm.bundled import load_superplm
from atb.predictor.file import load
from atb.search.constraints.candidates import Candidates, feasible
from atb.search.constraints.latency import LatencyLimit
from atb.search.contract import MethodSettings
from atb.search.methods.methods import METHODS, make_method
from atb.search.scoring.proxy import DistillationProxy
from atb.search.scoring.pruning import Pruning
from atb.training.one_shot.evaluation import ROUGH_EVERY
from atb.units import parse_duration
from benchmarks.shared.paths import PICTURES, RESULTS
from benchmarks.shared.record import machine, write_result

GRID = {"hidden": 16, "feed_forward": 128, "qkv": 1, "heads": 1}
TABLE = RESULTS / "search_methods.csv"
PICTURE = PICTURES / "search_methods.png"
COLUMNS = ("architecture", "predicted_milliseconds", "score", "rough_score")
SEEDS = 10
SCORES = 100
FINALISTS = 5
PRUNED = "surrogate-evolution, pruned"
Scores = dict[Architecture, float]


def main() -> None:
    """Make the table where it is asked for, then let the methods search it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--predictor",
        type=Path,
        help="Predictor that makes the table; without it the table is only read.",
    )
    parser.add_argument("--limit", type=parse_duration, default=parse_duration("6ms"))
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument(
        "--again", action="store_true", help="Score the architectures of the table anew."
    )
    arguments = parser.parse_args()
    started = machine()
    space = SPACES["mini"].on_grid(**GRID)
    if arguments.predictor is not None:
        found = feasible(space, load(arguments.predictor), LatencyLimit(arguments.limit))
        fill(arguments.table, found)
    if arguments.again:
        listed, *_ = read(arguments.table, space)
        anew = arguments.table.with_suffix(".new.csv")
        fill(anew, listed)
        anew.replace(arguments.table)
    candidates, scores, rough = read(arguments.table, space)
    figures = compare(candidates, scores, rough)
    draw(figures)
    print(write_result("search_methods", figures, started))


def fill(table: Path, found: Candidates) -> None:
    """Score what is missing in the table."""
    known = {row[0] for row in rows_of_table(table)} if table.is_file() else set()
    proxy = DistillationProxy(load_superplm("mini"))
    print(len(found), "architectures, known", len(known), flush=True)
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        for place in range(len(found)):
            architecture = found.architecture(place)
            if str(architecture) in known:
                continue
            (score,), (rough,) = proxy.score([architecture]), proxy.score_roughly([architecture])
            assert score is not None
            assert rough is not None
            milliseconds = 1000 * found.predicted_seconds[place]
            writer.writerow([architecture, f"{milliseconds:.4f}", f"{score:.6f}", f"{rough:.6f}"])
            file.flush()


def rows_of_table(table: Path) -> Iterator[tuple[str, float, float, float]]:
    """Architecture, predicted milliseconds, score, rough score."""
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            numbers = (float(row.get(column, "nan")) for column in COLUMNS[1:])
            yield row[COLUMNS[0]], *numbers


def read(table: Path, space: SearchSpace) -> tuple[Candidates, Scores, Scores]:
    """The candidates of a table, and their scores."""
    shape = tuple(len(values) for values in space.genes)
    rows = [(Architecture.parse(text), *told) for text, *told in rows_of_table(table)]
    numbered = sorted(
        (int(np.ravel_multi_index(space.genome(architecture), shape)), milliseconds / 1000)
        for architecture, milliseconds, *_ in rows
    )
    numbers, seconds = (np.array(column) for column in zip(*numbered, strict=True))
    candidates = Candidates(space, numbers.astype(np.int64), seconds, seconds)
    scores = {architecture: score for architecture, _, score, _ in rows}
    return candidates, scores, {architecture: rough for architecture, *_, rough in rows}


def compare(candidates: Candidates, scores: Scores, rough: Scores) -> dict[str, Any]:
    """Best-so-far curves of all methods, and the scores until the end of `evolution` is reached."""
    settings = {name: MethodSettings() for name in METHODS}
    settings["random"] = settings["fast"] = MethodSettings(SCORES, 1)
    curves = {
        name: np.array(
            [curve(candidates, scores, name, settings[name], seed) for seed in range(SEEDS)]
        )
        for name in METHODS
    }
    by_pruning = [pruned_search(candidates, scores, rough, seed) for seed in range(SEEDS)]
    curves[PRUNED] = np.array([best for best, _ in by_pruning])
    target = float(curves["evolution"][:, -1].mean())
    ordered = sorted(scores.values(), reverse=True)
    figures: dict[str, Any] = {
        "architectures": len(candidates),
        "best": ordered[0],
        "upper_quartile": float(np.quantile(ordered, 0.75)),
        "target_of_evolved": target,
        "kendall_tau_of_rough_scores": round(
            float(kendalltau(list(scores.values()), list(rough.values())).statistic), 4
        ),
        "cost_of_a_pruned_search": [cost for _, cost in by_pruning],
        "methods": {},
    }
    for name, curve_of in curves.items():
        mean = curve_of.mean(axis=0)
        reached = np.flatnonzero(mean >= target)
        figures["methods"][name] = {
            "best_so_far": [round(float(value), 6) for value in mean],
            "best_so_far_of_seeds": {
                "lowest": [round(float(v), 6) for v in curve_of.min(axis=0)],
                "highest": [round(float(v), 6) for v in curve_of.max(axis=0)],
            },
            "rank_at_the_end": [
                1 + sum(score > end for score in ordered) for end in curve_of[:, -1].tolist()
            ],
            "scores_until_the_target": int(reached[0]) + 1 if len(reached) else None,
        }
        print(name, {k: v for k, v in figures["methods"][name].items() if "best" not in k})
    return figures


def curve(
    candidates: Candidates,
    scores: Scores,
    name: str,
    settings: MethodSettings,
    seed: int,
) -> npt.NDArray[np.float64]:
    """Best score after each of the first `SCORES` scores; the last one goes on to the end."""
    method = make_method(name, candidates, np.random.default_rng(seed), settings)
    told: list[float] = []
    while not method.finished:
        generation = method.ask()
        method.tell([(architecture, scores[architecture]) for architecture in generation])
        told += [scores[architecture] for architecture in generation]
    best = np.maximum.accumulate(told)[:SCORES]
    return np.concatenate([best, np.full(SCORES - len(best), best[-1])])


def pruned_search(
    candidates: Candidates, scores: Scores, rough: Scores, seed: int
) -> tuple[npt.NDArray[np.float64], float]:
    """The same curve of `surrogate-evolution` by whole scores spent, and all that were spent."""
    method = make_method(
        "surrogate-evolution", candidates, np.random.default_rng(seed), MethodSettings()
    )
    pruning = Pruning(FINALISTS)
    best, spent, steps = float("-inf"), 0.0, []
    while not method.finished:
        generation = method.ask()
        found: dict[Architecture, float] = {}
        for part in (generation[: pruning.unsure], generation[pruning.unsure :]):
            told = {architecture: rough[architecture] for architecture in part}
            pruned = pruning.prune(told)
            whole = {a: scores[a] for a in part if a not in pruned}
            spent += len(pruned) / ROUGH_EVERY  # of the others the rough score is a part
            for score in whole.values():
                spent, best = spent + 1, max(best, score)
                steps.append((spent, best))
            pruning.learn(told, whole)
            found |= {**whole, **pruned}
        method.tell([(a, found[a]) for a in generation])
    spents, bests = (np.array(column) for column in zip(*steps, strict=True))
    places = np.searchsorted(spents, np.arange(1, SCORES + 1), side="right") - 1
    return bests[np.maximum(places, 0)], spent


def draw(figures: dict[str, Any]) -> None:
    """The curves."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    chart, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, found in figures["methods"].items():
        (line,) = axes.plot(range(1, SCORES + 1), found["best_so_far"], label=name)
        spread = found["best_so_far_of_seeds"]
        axes.fill_between(
            range(1, SCORES + 1),
            spread["lowest"],
            spread["highest"],
            color=line.get_color(),
            alpha=0.12,
            linewidth=0,
        )
    axes.axhline(figures["best"], color="black", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="architectures scored (a pruned one counts as an eighth)",
        ylabel="best score so far (minus the held-out loss)",
        title=f"{figures['architectures']:,} architectures of mini, {SEEDS} seeds",
        ylim=(figures["upper_quartile"], figures["best"] + 0.003),
    )
    axes.legend(loc="lower right")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
