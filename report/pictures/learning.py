"""Learning curves: error on unseen rows against how many were measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from atb.predictor.baselines import PredictorScore
from atb.predictor.sampling import SamplingStep
from atb.report.pictures.drawing import BLUE, GREEN, GREY, MUTED, ORANGE, number_axis, one_panel
from atb.report.pictures.svg import Picture

__all__ = ["error_curve", "learning_curves"]

_LINES = ("-", "--", ":")


def learning_curves(found: Sequence[PredictorScore]) -> Picture:
    """Mean error over the splits, with the range from the best to the worst split."""
    names = list(dict.fromkeys(f.name for f in found))
    sizes = sorted({f.rows for f in found})
    errors = {
        name: [
            [100 * f.evaluation.mape for f in found if (f.name, f.rows) == (name, n)] for n in sizes
        ]
        for name in names
    }
    with one_panel(4.0) as (figure, axes):
        colours = cycle((BLUE, ORANGE, GREEN, GREY, MUTED))
        for i, (name, colour) in enumerate(zip(names, colours, strict=False)):
            means = [float(np.mean(each)) for each in errors[name]]
            axes.plot(
                sizes, means, color=colour, linestyle=_LINES[i // 5 % 3], marker="o", markersize=4,
                linewidth=2.2 if i == 0 else 1.3, label=name, zorder=3 if i == 0 else 2,
            )  # fmt: skip
            axes.fill_between(
                sizes, [min(e) for e in errors[name]], [max(e) for e in errors[name]],
                color=colour, alpha=0.12, linewidth=0,
            )  # fmt: skip
        number_axis(axes, "x", sizes)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        number_axis(axes, "y", [e for each in errors.values() for part in each for e in part])
        axes.set_xlabel("measured to learn from")
        axes.set_ylabel("mean error on unseen, %")
        figure.legend(loc="outside right upper")
    best = min(names, key=lambda name: float(np.mean(errors[name][-1])))
    return Picture(
        "learning",
        figure,
        f"Mean error of {len(names)} predictors against {sizes[0]} to {sizes[-1]} measured rows; "
        f"{best} has the smallest at the end.",
    )


def error_curve(steps: Sequence[SamplingStep], wanted: float) -> Picture:
    """Error on held-out rows after each step of a campaign that chooses what it measures."""
    counts = [step.measured for step in steps]
    errors = 100 * np.array([step.error for step in steps])
    doubts = 100 * np.array([step.doubt for step in steps])
    with one_panel(3.4) as (figure, axes):
        axes.fill_between(
            counts, errors - doubts, errors + doubts, color=BLUE, alpha=0.15, linewidth=0
        )
        axes.plot(counts, errors, color=BLUE, marker="o", markersize=4, label="held out in turn")
        axes.axhline(100 * wanted, color=ORANGE, linestyle="--", label="asked for")
        number_axis(axes, "x", counts, log=False)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("measured")
        axes.set_ylabel("mean error, %")
        axes.legend(loc="upper right")
    return Picture(
        "until-error",
        figure,
        f"Mean error on held-out measurements from {errors[0]:.1f} % after {counts[0]} to "
        f"{errors[-1]:.1f} % after {counts[-1]}.",
    )
