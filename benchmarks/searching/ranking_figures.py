"""How far scores agree on an order: Kendall's tau, its interval, and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from atb.models.architecture import Architecture
from benchmarks.shared.paths import PICTURES

_Numbers = npt.NDArray[np.float64]
PICTURE = PICTURES / "ranking.png"
_DRAWS = 2000


def agreement(
    bands: Sequence[Sequence[Architecture]],
    known: dict[str, Any],
    tasks: Sequence[str],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Tau of every proxy with the stand-alone scores, over all and within the bands.

    Args:
        bands: Architectures of nearly equal latency.
        known: What every job found, by name.
        tasks: Whose scores are averaged.
        seeds: Of the stand-alone runs.
    """
    architectures = [a for band in bands for a in band]
    band_of = np.array([number for number, band in enumerate(bands) for _ in band])

    of_tasks = {
        task: [
            np.array([known[f"alone {a} {task} {seed}"]["dev"] for a in architectures])
            for seed in seeds
        ]
        for task in tasks
    }
    by_seed = list(np.mean(list(of_tasks.values()), axis=0))
    truth = np.mean(by_seed, axis=0)
    proxies = _proxies(architectures, known, tasks)
    found: dict[str, Any] = {
        name: {
            "tau": interval(scores, truth),
            "tau_in_bands": interval(scores, truth, band_of),
        }
        for name, scores in proxies.items()
    }
    return {
        "alone": {
            str(a): {"by_seed": [float(seed[i]) for seed in by_seed], "mean": float(truth[i])}
            for i, a in enumerate(architectures)
        },
        "proxies": {
            name: dict(zip(map(str, architectures), map(float, scores), strict=True))
            for name, scores in proxies.items()
        },
        "agreement": found,
        "ceiling": {
            "tau": interval(by_seed[0], by_seed[1]),
            "tau_in_bands": interval(by_seed[0], by_seed[1], band_of),
        },
        "by_task": {
            task: _of_task(architectures, scores, _proxies(architectures, known, [task]))
            for task, scores in of_tasks.items()
        },
    }


def _of_task(
    architectures: Sequence[Architecture], scores: Sequence[Any], proxies: dict[str, Any]
) -> dict[str, Any]:
    """Stand-alone scores of one task, by seed, and the tau of every proxy with their mean."""
    mean = np.mean(scores, axis=0)
    return {
        "scores": dict(zip(map(str, architectures), mean.tolist(), strict=True)),
        "ceiling": interval(scores[0], scores[1]),
        **{name: interval(cheap, mean) for name, cheap in proxies.items()},
    }


def _proxies(
    architectures: Sequence[Architecture], known: dict[str, Any], tasks: Sequence[str]
) -> dict[str, _Numbers]:
    """Scores of every proxy, higher is better."""

    def elastic(pick: Callable[[str, dict[str, float]], float]) -> _Numbers:
        return np.array(
            [
                np.mean([pick(t, known[f"elastic {t}"]["scores"][str(a)]) for t in tasks])
                for a in architectures
            ]
        )

    held_out = known["held-out"]["scores"]
    return {
        "elastic task loss": elastic(lambda _, scores: -scores["loss"]),
        "elastic task score": elastic(
            lambda task, scores: scores["matthews" if task == "cola" else "accuracy"]
        ),
        "held-out loss": np.array([held_out[str(a)] for a in architectures]),
        "parameters": np.array([float(a.parameters()) for a in architectures]),
        "multiply-adds": np.array([float(a.multiply_adds()) for a in architectures]),
    }


def interval(left: _Numbers, right: _Numbers, bands: _Numbers | None = None) -> list[float]:
    """Kendall's tau, and the 2.5 and 97.5 percentiles over bootstrap draws of architectures.

    Args:
        left: Scores.
        right: Scores of the same.
        bands: Where given, only pairs within a band are compared.
    """
    rng = np.random.default_rng(0)
    places = [rng.integers(len(left), size=len(left)) for _ in range(_DRAWS)]
    drawn = [tau(left[p], right[p], None if bands is None else bands[p], p) for p in places]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    whole = tau(left, right, bands, np.arange(len(left)))
    return [round(float(value), 3) for value in (whole, low, high)]


def tau(
    left: _Numbers, right: _Numbers, bands: _Numbers | None, places: npt.NDArray[np.integer[Any]]
) -> float:
    """Kendall's tau-b; in bands, the share of pairs in the same order less that of the others."""
    if bands is None:
        return float(kendalltau(left, right).statistic)
    signs = [
        np.sign(left[i] - left[j]) * np.sign(right[i] - right[j])
        for i, j in combinations(range(len(left)), 2)
        if bands[i] == bands[j] and places[i] != places[j]
    ]
    return float(np.mean(signs)) if signs else float("nan")


def draw(figures: dict[str, Any]) -> None:
    """Stand-alone scores against three proxies: the mean over all tasks, and SST-2 alone."""
    import matplotlib as mpl

    mpl.use("Agg")
    from atb.report.pictures.drawing import BLUE, GREEN, MUTED, ORANGE, new_figure
    from atb.report.pictures.style import picture_style

    names = ("elastic task loss", "held-out loss", "parameters")
    mean = {a: found["mean"] for a, found in figures["alone"].items()}
    of_sst2 = figures["by_task"]["sst2"]
    rows = (
        ("mean of four tasks", mean, {name: figures["agreement"][name]["tau"] for name in names}),
        ("SST-2 alone", of_sst2["scores"], of_sst2),
    )
    with picture_style():
        figure = new_figure(5.6)
        grid = figure.subplots(len(rows), len(names), sharex="col", sharey="row")
        for line, (label, scores, taus) in zip(grid, rows, strict=True):
            line[0].set_ylabel(label)
            for axes, name in zip(line, names, strict=True):
                axes.set_title(f"tau {taus[name][0]:.2f}", fontsize=9)
                for band, colour in zip(
                    figures["bands"], (BLUE, GREEN, ORANGE, MUTED), strict=True
                ):
                    axes.scatter(
                        [figures["proxies"][name][a] for a in band],
                        [scores[a] for a in band],
                        color=colour,
                        label=f"{1000 * figures['latency_seconds'][band[0]]:.1f} ms",
                    )
        for axes, name in zip(grid[-1], names, strict=True):
            axes.set_xlabel(name)
            axes.locator_params(axis="x", nbins=4)
        grid[-1][-1].ticklabel_format(axis="x", style="sci", scilimits=(6, 6))
        figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside right upper")
        figure.savefig(PICTURE, dpi=150)
