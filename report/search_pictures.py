"""The pictures of a search and of what surrounds its winner."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from atb.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    MUTED,
    ORANGE,
    PAPER,
    new_figure,
    number_axis,
    with_interval,
)
from atb.report.neighbours import Neighbour
from atb.report.numbers import count, digits, many, milliseconds
from atb.report.style import picture_style
from atb.report.svg import Picture
from atb.search.result import Candidate, SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["neighbours", "progress", "search"]

_DOT: dict[str, Any] = {"linestyle": "none", "marker": "o"}


def search(result: SearchResult) -> Picture:
    """All scored candidates by latency and score, the front, the finalists and the winner."""
    scored = [c for c in result.candidates if c.proxy is not None and c.measured_seconds is None]
    finalists = [c for c in result.finalists if c.proxy is not None]
    with picture_style():
        figure = new_figure(4.6)
        axes = figure.subplots()
        _limit_and_window(axes, result)
        _dots(axes, scored, "scored", GREY, label="scored, predicted latency")
        front = result.front
        axes.step(
            [1e3 * c.latency_seconds for c in front],
            _scores(front),
            where="post",
            color=MUTED,
            linewidth=1.1,
            label="front",
        )
        _finalists(axes, finalists)
        _winner(axes, result.winner)
        latencies = [c.latency_seconds for c in result.candidates]
        number_axis(
            axes, "x", [1e3 * seconds for seconds in (result.constraint_seconds, *latencies)]
        )
        axes.set_xlabel("Latency (ms)")
        axes.set_ylabel(_score(result))
        figure.legend(loc="outside upper left", ncols=3, columnspacing=1.6)
    tips = {
        f"search-{name}": [_tip(candidate) for candidate in part]
        for name, part in (("scored", scored), ("finalists", finalists))
    }
    return Picture(
        "search",
        figure,
        f"{many(len(result.candidates), 'candidate')} by latency and score, limit "
        f"{milliseconds(result.constraint_seconds)}; the winner is {result.winner.architecture}.",
        tips,
    )


def _scores(part: Sequence[Candidate]) -> list[float]:
    """Of candidates that have one."""
    return [c.proxy for c in part if c.proxy is not None]


def _limit_and_window(axes: Axes, result: SearchResult) -> None:
    limit = 1e3 * result.constraint_seconds
    low, high = (share * limit for share in result.window)
    axes.axvspan(low, high, color=BLUE, alpha=0.08, linewidth=0, label="window of the search")
    label = f"limit {milliseconds(result.constraint_seconds)}"
    axes.axvline(limit, color=ORANGE, linewidth=1.2, label=label)


def _dots(
    axes: Axes, part: Sequence[Candidate], name: str, colour: str, *, label: str, size: float = 4
) -> None:
    if part:
        axes.plot(
            [1e3 * c.latency_seconds for c in part],
            _scores(part),
            **_DOT,
            markersize=size,
            color=colour,
            markeredgecolor=PAPER,
            markeredgewidth=0.4,
            gid=f"search-{name}",
            label=label,
        )


def _finalists(axes: Axes, part: Sequence[Candidate]) -> None:
    """Measured latency with its interval; a dotted line leads there from the predicted one."""
    for c, score in zip(part, _scores(part), strict=True):
        x = [1e3 * c.predicted_seconds, 1e3 * c.latency_seconds]
        axes.plot(x, [score] * 2, color=BLUE, linewidth=0.9, linestyle=(0, (1, 1.5)))
        _interval_bar(axes, c.interval_seconds, score, BLUE)
    _dots(axes, part, "finalists", BLUE, label="finalist, measured latency", size=5.5)


def _winner(axes: Axes, winner: Candidate) -> None:
    if winner.proxy is None:
        return
    _interval_bar(axes, winner.interval_seconds, winner.proxy, GREEN)
    axes.plot(
        [1e3 * winner.latency_seconds],
        [winner.proxy],
        linestyle="none",
        marker="*",
        markersize=13,
        color=GREEN,
        markeredgecolor=PAPER,
        markeredgewidth=0.7,
        zorder=5,
        label="winner",
    )


def _interval_bar(
    axes: Axes, interval: tuple[float, float] | None, height: float, colour: str
) -> None:
    if interval is not None:
        axes.plot([1e3 * bound for bound in interval], [height] * 2, color=colour, linewidth=1.6)


def _score(result: SearchResult) -> str:
    return f"Score ({result.proxy})"


def _tip(candidate: Candidate) -> str:
    text = f"{candidate.architecture}: predicted {milliseconds(candidate.predicted_seconds)}"
    if candidate.measured_seconds is not None and candidate.interval_seconds is not None:
        measured = with_interval(candidate.measured_seconds, candidate.interval_seconds)
        text += f", measured {measured}"
    word = "expected score (given up early)" if candidate.hopeless else "score"
    return text if candidate.proxy is None else f"{text}, {word} {digits(candidate.proxy, 4)}"


def progress(result: SearchResult) -> Picture | None:
    """The scores and the best so far over the generations.

    Returns:
        None for a search without generations.
    """
    # candidates are stored by score: where in its generation each was scored is not known
    order = sorted((c for c in result.candidates if c.proxy is not None), key=_scatter_key)
    generations = sorted({c.generation for c in order})
    if len(generations) < 2:
        return None
    scores = np.array(_scores(order))
    of_generation = np.array([c.generation for c in order])
    ends = np.cumsum([(of_generation == g).sum() for g in generations])
    best = np.maximum.accumulate([scores[of_generation == g].max() for g in generations])
    with picture_style():
        figure = new_figure(2.9)
        axes = figure.subplots()
        for start, end in list(itertools.pairwise(ends))[::2]:
            axes.axvspan(start + 0.5, end + 0.5, color=GREY, alpha=0.14, linewidth=0)
        axes.plot(
            range(1, len(order) + 1),
            scores,
            **_DOT,
            markersize=3.6,
            color=GREY,
            markeredgewidth=0,
            gid="progress-scored",
            label="candidate",
        )
        label = "best at the end of a generation"
        axes.plot(ends, best, marker="o", markersize=5, color=BLUE, linewidth=1.4, label=label)
        axes.set_xlim(0.5, len(order) + 1.5)
        number_axis(axes, "x", [1.0, len(order)], log=False)
        axes.set_xlabel("Architectures scored")
        axes.set_ylabel(_score(result))
        figure.legend(loc="outside upper left", ncols=2)
    return Picture(
        "progress",
        figure,
        f"The best score over {many(len(generations), 'generation')}.",
        {"progress-scored": [_tip(candidate) for candidate in order]},
    )


def _scatter_key(candidate: Candidate) -> tuple[int, int]:
    """By generation, and within it in an order that has nothing to do with the score."""
    return candidate.generation, zlib.crc32(str(candidate.architecture).encode())


def neighbours(
    rows: Sequence[Neighbour], winner: Neighbour | None, limit_seconds: float | None
) -> Picture:
    """Known architectures on this device, fastest first, the winner among them."""
    ranked = sorted([*rows, *([winner] if winner else [])], key=lambda row: row.seconds)
    with picture_style():
        figure = new_figure(0.95 + 0.24 * len(ranked))
        axes = figure.subplots()
        if limit_seconds is not None:
            axes.axvline(1e3 * limit_seconds, color=ORANGE, linewidth=1)
        for place, row in enumerate(ranked):
            _neighbour_row(axes, place, row, GREEN if row is winner else BLUE)
        names = [" = ".join(row.names) for row in ranked]
        axes.set_yticks(range(len(ranked)), names, fontsize=8.5)
        if winner is not None:
            axes.get_yticklabels()[ranked.index(winner)].set_fontweight("bold")
        axes.set_ylim(len(ranked) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        number_axis(axes, "x", [1e3 * row.seconds for row in ranked])
        axes.set_xlabel("Latency on this device (ms)")
        _neighbour_legend(axes, limit_seconds)
    return Picture(
        "neighbours",
        figure,
        f"Latency of {many(len(rows), 'known architecture')} on this device"
        + ("." if winner is None else f"; the winner takes {milliseconds(winner.seconds)}."),
    )


def _neighbour_row(axes: Axes, place: int, row: Neighbour, colour: str) -> None:
    colour = GREY if row.basis == "extrapolated" else colour
    _interval_bar(axes, row.interval, place, colour)
    axes.plot(
        [1e3 * row.seconds],
        [place],
        **_DOT,
        markersize=6,
        markerfacecolor=colour if row.basis == "measured" else PAPER,
        markeredgecolor=colour,
        markeredgewidth=1.3,
    )
    axes.annotate(
        count(row.architecture.parameters()),
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=MUTED,
        annotation_clip=False,
    )


def _neighbour_legend(axes: Axes, limit_seconds: float | None) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], **_DOT, markersize=6, color=edge, markerfacecolor=face, label=basis)
        for basis, edge, face in (
            ("measured", BLUE, BLUE),
            ("predicted", BLUE, PAPER),
            ("extrapolated", GREY, PAPER),
        )
    ]
    if limit_seconds is not None:
        label = f"limit {milliseconds(limit_seconds)}"
        handles.append(Line2D([], [], color=ORANGE, label=label))
    axes.figure.legend(handles=handles, loc="outside upper left", ncols=4)
