"""What all pictures share: figures without global state, axes with plain numbers, intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from atb.report.numbers import milliseconds
from atb.report.style import COLOURS, WIDTH_INCHES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "MUTED",
    "ORANGE",
    "PAPER",
    "new_figure",
    "number_axis",
    "with_interval",
]

BLUE, ORANGE, GREEN = COLOURS["blue"], COLOURS["orange"], COLOURS["green"]
GREY, MUTED, PAPER = COLOURS["grey"], COLOURS["muted"], COLOURS["paper"]
# Beyond a factor of eight, small values would crowd at the origin of a linear axis.
_LOG_FROM = 8.0


def new_figure(height_inches: float) -> Figure:
    """An empty figure that belongs to no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def number_axis(
    axes: Axes, which: Literal["x", "y"], values: Sequence[float], *, log: bool | None = None
) -> None:
    """Choose scale and ticks of an axis for these values, with plain numbers beside it.

    Args:
        axes: Where the axis is.
        which: Which of the two.
        values: What will be drawn along it.
        log: Whether the scale is logarithmic; None decides by the range of the values.
    """
    from matplotlib.ticker import (
        FuncFormatter,
        LogLocator,
        MaxNLocator,
        NullLocator,
        ScalarFormatter,
    )

    smallest, largest = min(values), max(values)
    axis = axes.xaxis if which == "x" else axes.yaxis
    if log is None:
        log = smallest > 0 and largest / smallest > _LOG_FROM
    if log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        return
    axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    formatter = ScalarFormatter(useOffset=False)  # as many decimals at every tick
    formatter.set_scientific(False)
    axis.set_major_formatter(formatter)


def with_interval(seconds: float, interval: tuple[float, float]) -> str:
    """A latency with its interval in words, in milliseconds."""
    low, high = (milliseconds(bound, unit=False) for bound in interval)
    return f"{milliseconds(seconds)} ({low} to {high})"
