"""The picture of the published architectures on a device, the winner among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from atb.report import Baseline
from atb.report.pictures.drawing import (
    BLUE,
    GREEN,
    GREY,
    MUTED,
    ORANGE,
    PAPER,
    dots,
    interval_bar,
    is_narrow,
    number_axis,
    one_panel,
    write_beside,
)
from atb.report.pictures.numbers import count, many, milliseconds
from atb.report.pictures.style import WIDTH_INCHES
from atb.report.pictures.svg import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def baseline_latencies(
    rows: Sequence[Baseline],
    winner: Baseline | None,
    limit_seconds: float | None,
    *,
    width_inches: float = WIDTH_INCHES,
) -> Picture:
    """Published architectures on this device, fastest first, the winner among them."""
    ranked = sorted([*rows, *([winner] if winner else [])], key=lambda row: row.seconds)
    with one_panel(0.95 + 0.24 * len(ranked), width_inches) as (figure, axes):
        if limit_seconds is not None:
            axes.axvline(1e3 * limit_seconds, color=ORANGE, linewidth=1)
        for place, row in enumerate(ranked):
            _baseline_row(axes, place, row, GREEN if row is winner else BLUE)
        names = [" = ".join(row.names) for row in ranked]
        axes.set_yticks(range(len(ranked)), names, fontsize=8.5)
        if winner is not None:
            axes.get_yticklabels()[ranked.index(winner)].set_fontweight("bold")
        axes.set_ylim(len(ranked) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        number_axis(axes, "x", [1e3 * row.seconds for row in ranked])
        axes.set_xlabel("Latency on this device (ms)")
        _legend(axes, limit_seconds)
    return Picture(
        "baselines",
        figure,
        f"Latency of {many(len(rows), 'published architecture')} on this device"
        + ("." if winner is None else f"; the winner takes {milliseconds(winner.seconds)}."),
    )


def _baseline_row(axes: Axes, place: int, row: Baseline, colour: str) -> None:
    colour = GREY if row.basis == "extrapolated" else colour
    interval_bar(axes, row.interval, place, colour)
    face = colour if row.basis == "measured" else PAPER
    edge = {"markerfacecolor": face, "markeredgecolor": colour, "markeredgewidth": 1.3}
    dots(axes, [1e3 * row.seconds], [place], colour, 6, **edge)
    style = {"va": "center", "color": MUTED, "annotation_clip": False}
    size = count(row.architecture.parameters())
    write_beside(axes, size, (1.0, place), (8, 0), xycoords=("axes fraction", "data"), **style)


def _legend(axes: Axes, limit_seconds: float | None) -> None:
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 6}
    handles = [
        Line2D([], [], color=edge, markerfacecolor=face, label=basis, **style)
        for basis, edge, face in (
            ("measured", BLUE, BLUE),
            ("predicted", BLUE, PAPER),
            ("extrapolated", GREY, PAPER),
        )
    ]
    if limit_seconds is not None:
        label = f"limit {milliseconds(limit_seconds)}"
        handles.append(Line2D([], [], color=ORANGE, label=label))
    axes.figure.legend(handles=handles, loc="outside upper left", ncols=2 if is_narrow(axes) else 4)
