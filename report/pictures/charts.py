"""The pictures that commands draw: values with intervals, operator times, learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from atb.report.pictures.drawing import (
    BLUE,
    GREEN,
    GREY,
    MUTED,
    ORANGE,
    interval_bar,
    label_of,
    number_axis,
    one_panel,
)
from atb.report.pictures.numbers import many, milliseconds
from atb.report.pictures.svg import Picture

if TYPE_CHECKING:
    from atb.predictor.baselines import PredictorScore
    from atb.predictor.sampling import SamplingStep
    from atb.profiler.campaign import BreakDown

_MOST_ROWS = 40


def intervals(
    what: str,
    names: Sequence[str],
    values: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    mark: float | None = None,
) -> Picture | None:
    """One row for each value with its lower and upper end, the first forty where there are more.

    Args:
        what: What the values are, with the unit; seconds are drawn as milliseconds.
        names: Names of the rows.
        values: Values of the rows.
        low: Lower end of each interval.
        high: Upper end of each interval.
        mark: A value that the others are seen against.

    Returns:
        None where there is no value.
    """
    if not values:
        return None
    shown = range(min(len(values), _MOST_ROWS))
    is_time = what.endswith("_seconds")
    factor = 1e3 if is_time else 1.0
    with one_panel(0.7 + 0.24 * len(shown)) as (figure, axes):
        if mark is not None:
            axes.axvline(factor * mark, color=MUTED, linewidth=0.9)
        for row in shown:
            ends = (factor * low[row] / 1e3, factor * high[row] / 1e3)  # drawn as milliseconds
            interval_bar(axes, ends, row, BLUE)
        points = [factor * values[row] for row in shown]
        axes.plot(points, list(shown), linestyle="none", marker="o", color=BLUE)
        axes.set_yticks(list(shown), [names[row] for row in shown], fontsize=8.5)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        number_axis(axes, "x", [*points, *([] if mark is None else [factor * mark])])
        axes.set_xlabel(f"{what.removesuffix('_seconds')} (ms)" if is_time else what)
    return Picture("intervals", figure, f"{many(len(values), 'value')} with intervals: {what}.")


#: Kinds of operators that have a bar of their own.
_KINDS = 8
_COLOURS = (BLUE, ORANGE, GREEN, MUTED)
_OTHERS = "all others"


def operators(found: Sequence[BreakDown]) -> Picture:
    """Share of the time by kind of operator, one group of bars for each kind, one bar a model."""
    shares = [_shares(model) for model in found]
    named = {kind for model in shares for kind in model if kind != _OTHERS}
    largest = sorted(named, key=lambda kind: -max(model.get(kind, 0.0) for model in shares))
    kinds = [*largest[:_KINDS], _OTHERS]
    height = 0.4 * len(kinds) * max(1.0, 0.45 * len(found)) + 1.2
    with one_panel(height) as (figure, axes):
        places = np.arange(len(kinds))
        thickness = 0.8 / len(found)
        for i, (model, share) in enumerate(zip(found, shares, strict=True)):
            seconds = sum(operator.seconds for operator in model.operators)
            bars = axes.barh(
                places + (i - (len(found) - 1) / 2) * thickness,
                [100 * share.get(kind, 0.0) for kind in kinds],
                thickness,
                color=_COLOURS[i % len(_COLOURS)] if len(found) <= len(_COLOURS) else GREY,
                label=label_of(f"{model.subject}, {milliseconds(seconds)} in all operators"),
            )
            axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
        axes.set_yticks(places, kinds)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Share of the time (%)")
        axes.set_title("Where the time goes, by the runtime's own profiler")
        axes.legend(loc="lower right")
    return Picture(
        "operators",
        figure,
        f"Share of the time by kind of operator of {many(len(found), 'model')}; "
        f"most goes to {kinds[0]}.",
    )


def _shares(model: BreakDown) -> dict[str, float]:
    """Shares of the time by kind; the small ones are summed up."""
    shares = model.by_kind()
    named = dict(list(shares.items())[:_KINDS])
    named[_OTHERS] = sum(shares.values()) - sum(named.values())
    return named


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
        axes.set(xlabel="measured to learn from", ylabel="mean error on unseen, %")
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
        axes.set(xlabel="measured", ylabel="mean error, %")
        axes.legend(loc="upper right")
    return Picture(
        "until-error",
        figure,
        f"Mean error on held-out measurements from {errors[0]:.1f} % after {counts[0]} to "
        f"{errors[-1]:.1f} % after {counts[-1]}.",
    )
