"""How many scores does each search method need for how good a candidate?

About a thousand architectures of `mini` on a coarse grid, all those within the window below one
limit, are scored once by held-out distillation, completely: results/search_methods.csv. On that
table every method searches over and over with other seeds, at no cost: its best-so-far curve, and
the scores until it holds what `evolved` holds at its end. The table is made once, with a predictor
(the same command goes on); without --predictor the committed one is replayed.

    python benchmarks/search_methods.py [--predictor FILE --limit 6ms --table FILE]
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
from record import machine, write_result

from atb.models.architecture import Architecture
from atb.models.embedded import load_superplm
from atb.models.space import SPACES, SearchSpace
from atb.predictor.file import load
from atb.search.candidates import Candidates, feasible
from atb.search.constraint import LatencyLimit
from atb.search.contract import MethodSettings
from atb.search.methods import METHODS, make_method
from atb.search.proxy import DistillationProxy
from atb.units import parse_duration

GRID = {"hidden": 16, "feed_forward": 128, "qkv": 1, "heads": 1}
TABLE = Path(__file__).parent / "results" / "search_methods.csv"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "search_methods.png"
COLUMNS = ("architecture", "predicted_milliseconds", "score")
SEEDS = 10
SCORES = 100


def main() -> None:
    """Make the table where it is asked for, then let the methods search it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictor", type=Path, help="makes the table; else it is only read")
    parser.add_argument("--limit", type=parse_duration, default=parse_duration("6ms"))
    parser.add_argument("--table", type=Path, default=TABLE)
    arguments = parser.parse_args()
    started = machine()
    space = SPACES["mini"].on_grid(**GRID)
    if arguments.predictor is not None:
        fill(arguments.table, space, arguments.predictor, LatencyLimit(arguments.limit))
    candidates, scores = read(arguments.table, space)
    figures = compare(candidates, scores)
    draw(figures)
    print(write_result("search_methods", figures, started))


def fill(table: Path, space: SearchSpace, predictor: Path, limit: LatencyLimit) -> None:
    """Score what is missing in the table."""
    found = feasible(space, load(predictor), limit)
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
            (score,) = proxy.score([architecture])
            assert score is not None
            milliseconds = 1000 * found.predicted_seconds[place]
            writer.writerow([architecture, f"{milliseconds:.4f}", f"{score:.6f}"])
            file.flush()


def rows_of_table(table: Path) -> Iterator[tuple[str, float, float]]:
    """Architecture, predicted milliseconds, score."""
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row[COLUMNS[0]], float(row[COLUMNS[1]]), float(row[COLUMNS[2]])


def read(table: Path, space: SearchSpace) -> tuple[Candidates, dict[Architecture, float]]:
    """The candidates of a table, and their scores."""
    shape = tuple(len(values) for values in space.genes)
    numbered = sorted(
        (int(np.ravel_multi_index(space.genome(architecture), shape)), seconds / 1000, score)
        for architecture, seconds, score in (
            (Architecture.parse(text), seconds, score)
            for text, seconds, score in rows_of_table(table)
        )
    )
    numbers, seconds, _ = (np.array(column) for column in zip(*numbered, strict=True))
    candidates = Candidates(space, numbers.astype(np.int64), seconds, seconds)
    scores = {candidates.architecture(place): score for place, (*_, score) in enumerate(numbered)}
    return candidates, scores


def compare(candidates: Candidates, scores: dict[Architecture, float]) -> dict[str, Any]:
    """Best-so-far curves of all methods, and the scores until evolved's end is reached."""
    settings = {name: MethodSettings() for name in METHODS}
    settings["random"] = settings["fast"] = MethodSettings(SCORES, 1)
    curves = {
        name: np.array(
            [curve(candidates, scores, name, settings[name], seed) for seed in range(SEEDS)]
        )
        for name in METHODS
    }
    target = float(curves["evolved"][:, -1].mean())
    ordered = sorted(scores.values(), reverse=True)
    figures: dict[str, Any] = {
        "architectures": len(candidates),
        "best": ordered[0],
        "upper_quartile": float(np.quantile(ordered, 0.75)),
        "target_of_evolved": target,
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
    scores: dict[Architecture, float],
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
        xlabel="architectures scored",
        ylabel="best score so far (minus the held-out loss)",
        title=f"{figures['architectures']:,} architectures of mini, {SEEDS} seeds",
        ylim=(figures["upper_quartile"], figures["best"] + 0.003),
    )
    axes.legend(loc="lower right")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
