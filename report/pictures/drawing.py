"""What all pictures share: figures without global state, axes with plain numbers, intervals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from atb.report.pictures.numbers import milliseconds
from atb.report.pictures.style import COLOURS, NARROW_INCHES, WIDTH_INCHES, picture_style
from atb.report.pictures.svg import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN = COLOURS["blue"], COLOURS["orange"], COLOURS["green"]
GREY, MUTED, PAPER = COLOURS["grey"], COLOURS["muted"], COLOURS["paper"]
# Beyond a factor of eight, small values would crowd at the origin of a linear axis.
_LOG_FROM = 8.0
#: Beyond the quartiles by so many of their distances lies what Tukey calls far out.
_FAR_OUT = 3.0
#: What lies far out leaves an axis only where it would make it longer by such a factor.
_SQUEEZED = 2.0
#: Room on either side of what is drawn, as a share of the axis.
_MARGIN = 0.05


def in_both_widths(draw: Callable[..., Picture | None], *facts: Any) -> tuple[Picture, ...]:
    """The wide drawing of facts, and the narrow one for a telephone; none where `draw` has none."""
    wide, narrow = (draw(*facts, width_inches=width) for width in (WIDTH_INCHES, NARROW_INCHES))
    if wide is None or narrow is None:
        return ()
    return wide, replace(narrow, name=f"{wide.name}-narrow")


def new_figure(height_inches: float, width_inches: float = WIDTH_INCHES) -> Figure:
    """An empty figure that belongs to no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


@contextlib.contextmanager
def one_panel(
    height_inches: float, width_inches: float = WIDTH_INCHES
) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes, drawn in our style inside the block."""
    with picture_style():
        figure = new_figure(height_inches, width_inches)
        yield figure, figure.subplots()


@contextlib.contextmanager
def two_panels(
    height_inches: float, width_inches: float, shares: tuple[float, float]
) -> Iterator[tuple[Figure, Axes, Axes]]:
    """A figure with two axes: side by side with shares of its width, or one below the other.

    The height is that of a row of axes; they stand below each other where the width is narrow.
    """
    narrow = width_inches < WIDTH_INCHES
    with picture_style():
        figure = new_figure((2 if narrow else 1) * height_inches, width_inches)
        if narrow:
            first, second = figure.subplots(2, 1)
        else:
            first, second = figure.subplots(1, 2, width_ratios=shares)
        yield figure, first, second


def dots(axes: Axes, x: Any, y: Any, colour: str, size: float, **style: Any) -> None:
    """Dots of a diameter in points with a thin edge in the colour of the paper.

    The style is further or other arguments of matplotlib's `plot`, such as `label`.
    """
    usual = {"linestyle": "none", "marker": "o", "markeredgecolor": PAPER, "markeredgewidth": 0.5}
    axes.plot(x, y, markersize=size, color=colour, **{**usual, **style})


def write_beside(
    axes: Axes, text: str, point: tuple[Any, Any], offset: tuple[float, float], **style: Any
) -> None:
    """Write small text at an offset in points from a point of the axes."""
    style = {"fontsize": 8.5, **style}
    axes.annotate(text, point, xytext=offset, textcoords="offset points", **style)


def is_narrow(axes: Axes) -> bool:
    """Whether the drawing is the narrow one for a telephone."""
    figure = axes.get_figure(root=True)
    return figure is not None and figure.get_figwidth() < WIDTH_INCHES


def robust_range(values: Sequence[float], keep: Sequence[float] = ()) -> tuple[float, float]:
    """The range of an axis that a few values far out do not squeeze.

    Args:
        values: What will be drawn along it; at least one.
        keep: What has to be on it, however far out.

    Returns:
        Smallest and largest of all, or, where those far out would make the axis more than twice
        as long, of those that are not.
    """
    every = np.array([*values, *keep], dtype=np.float64)
    first, third = np.percentile(np.asarray(values, dtype=np.float64), (25, 75))
    reach = _FAR_OUT * (third - first)
    near = (every >= first - reach) & (every <= third + reach)
    near[len(values) :] = True
    kept = every[near]
    squeezed = float(np.ptp(every)) > _SQUEEZED * float(np.ptp(kept)) > 0
    shown = kept if squeezed else every
    return float(shown.min()), float(shown.max())


def set_range(axes: Axes, which: Literal["x", "y"], ends: tuple[float, float]) -> None:
    """Make an axis reach from one value to another, with room on either side."""
    log = (axes.get_xscale() if which == "x" else axes.get_yscale()) == "log"
    low, high = np.log(ends) if log else ends
    room = _MARGIN * (high - low)
    limits = (low - room, high + room)
    if log:
        limits = (float(np.exp(limits[0])), float(np.exp(limits[1])))
    (axes.set_xlim if which == "x" else axes.set_ylim)(*limits)


def number_axis(
    axes: Axes, which: Literal["x", "y"], values: Sequence[float], *, log: bool | None = None
) -> None:
    """Choose scale and ticks of an axis for the values drawn along it, with plain numbers.

    Where `log` is None, the range of the values decides whether the scale is logarithmic.
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
    axis.set_major_locator(
        MaxNLocator(4 if is_narrow(axes) and which == "x" else 7, steps=[1, 2, 2.5, 5, 10])
    )
    formatter = ScalarFormatter(useOffset=False)  # as many decimals at every tick
    formatter.set_scientific(False)
    axis.set_major_formatter(formatter)


def interval_bar(
    axes: Axes, interval: tuple[float, float] | None, height: float, colour: str
) -> None:
    """A horizontal bar over an interval of seconds, on an axis of milliseconds."""
    if interval is not None:
        axes.plot([1e3 * bound for bound in interval], [height] * 2, color=colour, linewidth=1.6)


def label_of(text: str) -> str:
    """A name for a legend, which would leave one out that begins with an underscore."""
    return f" {text}" if text.startswith("_") else text


def with_interval(seconds: float, interval: tuple[float, float]) -> str:
    """A latency with its interval in words, in milliseconds."""
    low, high = (milliseconds(bound, unit=False) for bound in interval)
    return f"{milliseconds(seconds)} ({low} to {high})"
