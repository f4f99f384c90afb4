"""The shapes that a search looked at, as parallel coordinates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atb.report.pictures.drawing import (
    BLUE,
    GREEN,
    GREY,
    MUTED,
    is_narrow,
    one_panel,
    robust_range,
)
from atb.report.pictures.numbers import digits, many, milliseconds
from atb.report.pictures.style import WIDTH_INCHES
from atb.report.pictures.svg import Picture
from atb.search import Candidate, SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["shapes"]

_Numbers = npt.NDArray[np.float64]
_SIZES: tuple[tuple[str, Callable[[Candidate], float]], ...] = (
    ("layers", lambda c: c.architecture.layers),
    ("hidden", lambda c: c.architecture.hidden),
    ("heads", lambda c: c.architecture.heads),
    ("query width", lambda c: c.architecture.qkv),
    ("feed-forward", lambda c: c.architecture.feed_forward),
    ("latency", lambda c: 1e3 * c.latency_seconds),
    ("score", lambda c: c.proxy or 0.0),
)


def shapes(result: SearchResult, *, width_inches: float = WIDTH_INCHES) -> Picture | None:
    """One line for each scored candidate through its sizes; the best stand out.

    Args:
        result: Result of a search.
        width_inches: Width of the drawing.

    Returns:
        None where fewer than two were scored.
    """
    scored = [c for c in result.candidates if c.proxy is not None]
    if len(scored) < 2:
        return None
    values = np.array([[of(c) for _, of in _SIZES] for c in scored])
    winner = scored.index(result.winner)
    ends = [robust_range(column, [column[winner]]) for column in values.T.tolist()]
    low, high = np.array(ends).T
    heights = np.where(high > low, (values - low) / np.where(high > low, high - low, 1.0), 0.5)
    heights = heights.clip(0, 1)
    with one_panel(3.4, width_inches) as (figure, axes):
        best = max(1, len(scored) // 10)
        for place in range(len(scored) - 1, -1, -1):  # the best are drawn last
            colour, alpha = (BLUE, 0.8) if place < best else (GREY, 0.4)
            axes.plot(heights[place], color=colour, linewidth=0.8, alpha=alpha)
        axes.plot(heights[winner], color=GREEN, linewidth=2.4, marker="o", markersize=5)
        _label(axes, values, ends)
    return Picture(
        "shapes",
        figure,
        f"The sizes of {many(len(scored), 'candidate')}; the winner is "
        f"{result.winner.architecture}.",
    )


def _label(axes: Axes, values: _Numbers, ends: Sequence[tuple[float, float]]) -> None:
    """A vertical line for each size, with its ends; a sign tells of values beyond them."""
    axes.set_xlim(-0.4, len(_SIZES) - 0.6)
    axes.set_ylim(-0.12, 1.12)
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    names = [name for name, _ in _SIZES]
    shown = [re.sub(r"[ -]", "\n", name) for name in names] if is_narrow(axes) else names
    axes.set_xticks(range(len(names)), shown)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("Smallest and largest of what was scored")
    for place, (name, (low, high)) in enumerate(zip(names, ends, strict=True)):
        axes.axvline(place, ymin=0.1, ymax=0.9, color=MUTED, linewidth=0.7)
        lower = "≤ " if values[:, place].min() < low else ""
        upper = "≥ " if values[:, place].max() > high else ""
        style: dict[str, Any] = {"ha": "center", "fontsize": 8, "color": MUTED}
        axes.text(place, -0.04, lower + _shown(name, low), va="top", **style)
        axes.text(place, 1.04, upper + _shown(name, high), va="bottom", **style)


def _shown(name: str, value: float) -> str:
    if name == "latency":
        return milliseconds(value / 1e3)
    return digits(value, 3) if name == "score" else f"{value:.0f}"
