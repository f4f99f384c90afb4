"""Values with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

from atb.report.pictures.drawing import BLUE, MUTED, interval_bar, new_figure, number_axis
from atb.report.pictures.numbers import many
from atb.report.pictures.style import WIDTH_INCHES, picture_style
from atb.report.pictures.svg import Picture

__all__ = ["intervals"]

_MOST_ROWS = 40


def intervals(
    what: str,
    names: Sequence[str],
    values: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    mark: float | None = None,
    width_inches: float = WIDTH_INCHES,
) -> Picture | None:
    """One row for each value, the first forty where there are more.

    Args:
        what: What the values are, with the unit; seconds are drawn as milliseconds.
        names: Of the rows.
        values: In the middle.
        low: Lower ends.
        high: Upper ends.
        mark: A value that the others are seen against; None for none.
        width_inches: Of the drawing.

    Returns:
        None where there is no value.
    """
    if not values:
        return None
    shown = range(min(len(values), _MOST_ROWS))
    is_time = what.endswith("_seconds")
    factor = 1e3 if is_time else 1.0
    with picture_style():
        figure = new_figure(0.7 + 0.24 * len(shown), width_inches)
        axes = figure.subplots()
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
