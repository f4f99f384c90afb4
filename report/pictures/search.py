"""The pictures of a search: scored candidates, the best score over the generations, shapes."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atb.report.pictures.drawing import (
    BLUE,
    GREEN,
    GREY,
    MUTED,
    ORANGE,
    dots,
    interval_bar,
    is_narrow,
    number_axis,
    one_panel,
    robust_range,
    set_range,
    with_interval,
    write_beside,
)
from atb.report.pictures.numbers import digits, many, milliseconds
from atb.report.pictures.style import WIDTH_INCHES
from atb.report.pictures.svg import Picture
from atb.search import Candidate, SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of those far out; more names would overlap.
_MOST_NAMED = 3


def search(result: SearchResult, *, width_inches: float = WIDTH_INCHES) -> Picture:
    """All scored candidates by latency and score, the front, the finalists and the winner.

    Candidates far out are drawn at the edge, with their names.
    """
    shown, beyond, ends = _split(result)
    scored = [c for c in shown if c.measured_seconds is None]
    finalists = [c for c in shown if c.measured_seconds is not None]
    with one_panel(4.6, width_inches) as (figure, axes):
        _limit_and_window(axes, result)
        _dots(axes, scored, "scored", GREY, label="scored, predicted latency")
        front = result.front
        x = [1e3 * c.latency_seconds for c in front]
        axes.step(x, _scores(front), where="post", color=MUTED, linewidth=1.1, label="front")
        _finalists(axes, finalists)
        _winner(axes, result.winner)
        number_axis(axes, "x", [1e3 * seconds for seconds in ends[0]])
        if beyond:
            set_range(axes, "x", (1e3 * ends[0][0], 1e3 * ends[0][1]))
            set_range(axes, "y", ends[1])
            _edge(axes, [(1e3 * c.latency_seconds, c.proxy or 0.0) for c in beyond],
                  [_name_at_edge(c, ends) for c in beyond], "search-beyond")  # fmt: skip
        axes.set(xlabel="Latency (ms)", ylabel=_score(result))
        columns = 2 if is_narrow(axes) else 3
        figure.legend(loc="outside upper left", ncols=columns, columnspacing=1.6)
    tips = {
        f"search-{name}": [_tip(candidate) for candidate in part]
        for name, part in (("scored", scored), ("finalists", finalists), ("beyond", beyond))
    }
    return Picture(
        "search",
        figure,
        f"{many(len(result.candidates), 'candidate')} by latency and score, limit "
        f"{milliseconds(result.constraint_seconds)}; the winner is {result.winner.architecture}.",
        tips,
    )


_Ends = tuple[float, float]


def _split(result: SearchResult) -> tuple[list[Candidate], list[Candidate], tuple[_Ends, _Ends]]:
    """Scored candidates that the axes show, those far out, and the ends (seconds, scores)."""
    every = [c for c in result.candidates if c.proxy is not None]
    kept = [result.constraint_seconds, result.winner.latency_seconds]
    latencies = robust_range([c.latency_seconds for c in every] or kept, kept)
    best = [] if result.winner.proxy is None else [result.winner.proxy]
    scores = robust_range(_scores(every) or best or [0.0], best)
    shown: list[Candidate] = []
    beyond: list[Candidate] = []
    for c in every:
        inside = latencies[0] <= c.latency_seconds <= latencies[1]
        inside = inside and scores[0] <= (c.proxy or 0.0) <= scores[1]
        (shown if inside else beyond).append(c)
    return shown, beyond, (latencies, scores)


def _name_at_edge(candidate: Candidate, ends: tuple[_Ends, _Ends]) -> str:
    """Text at the edge: the architecture and where it would lie."""
    far = []
    if not ends[0][0] <= candidate.latency_seconds <= ends[0][1]:
        far.append(milliseconds(candidate.latency_seconds))
    if candidate.proxy is not None and not ends[1][0] <= candidate.proxy <= ends[1][1]:
        far.append(f"score {digits(candidate.proxy, 4)}")
    return f"{candidate.architecture}: {', '.join(far)}"


def _edge(
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str], gid: str
) -> None:
    """Points beyond the limits of the axes at their edge, the first few with a name."""
    limits = (axes.get_xlim(), axes.get_ylim())
    x, y = (np.clip(column, *ends) for column, ends in zip(np.array(points).T, limits, strict=True))
    words = "beyond the axes"
    dots(axes, x, y, ORANGE, 7, marker="X", clip_on=False, zorder=4, gid=gid, label=words)
    middle = axes.transData.inverted().transform(axes.transAxes.transform((0.5, 0.5)))
    for place, name in enumerate(names[:_MOST_NAMED]):
        right, low = x[place] > middle[0], y[place] <= middle[1]
        offset = (-7 if right else 7, (1 if low else -1) * (4 + 11 * place))
        ha, va = "right" if right else "left", "bottom" if low else "top"
        point = (x[place], y[place])
        write_beside(axes, name, point, offset, ha=ha, va=va, fontsize=8, color=MUTED)


def _scores(part: Sequence[Candidate]) -> list[float]:
    """Scores of the candidates that have one."""
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
        x, group = [1e3 * c.latency_seconds for c in part], f"search-{name}"
        dots(axes, x, _scores(part), colour, size, markeredgewidth=0.4, gid=group, label=label)


def _finalists(axes: Axes, part: Sequence[Candidate]) -> None:
    """Measured latency with its interval; a dotted line leads there from the predicted one."""
    for c, score in zip(part, _scores(part), strict=True):
        x = [1e3 * c.predicted_seconds, 1e3 * c.latency_seconds]
        axes.plot(x, [score] * 2, color=BLUE, linewidth=0.9, linestyle=(0, (1, 1.5)))
        interval_bar(axes, c.interval_seconds, score, BLUE)
    _dots(axes, part, "finalists", BLUE, label="finalist, measured latency", size=5.5)


def _winner(axes: Axes, winner: Candidate) -> None:
    if winner.proxy is None:
        return
    interval_bar(axes, winner.interval_seconds, winner.proxy, GREEN)
    star = {"marker": "*", "markeredgewidth": 0.7, "zorder": 5, "label": "winner"}
    dots(axes, [1e3 * winner.latency_seconds], [winner.proxy], GREEN, 13, **star)


def _score(result: SearchResult) -> str:
    return f"Score ({result.proxy})"


def _tip(candidate: Candidate) -> str:
    text = f"{candidate.architecture}: predicted {milliseconds(candidate.predicted_seconds)}"
    if candidate.measured_seconds is not None and candidate.interval_seconds is not None:
        measured = with_interval(candidate.measured_seconds, candidate.interval_seconds)
        text += f", measured {measured}"
    word = "expected score (pruned)" if candidate.pruned else "score"
    return text if candidate.proxy is None else f"{text}, {word} {digits(candidate.proxy, 4)}"


def progress(result: SearchResult, *, width_inches: float = WIDTH_INCHES) -> Picture | None:
    """The scores and the best so far over the generations; those far out are named at the edge.

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
    low, high = robust_range(scores.tolist(), [float(best[-1])])
    places = np.arange(1, len(order) + 1)
    inside = (scores >= low) & (scores <= high)
    groups = {"scored": np.flatnonzero(inside), "beyond": np.flatnonzero(~inside)}
    with one_panel(2.9, width_inches) as (figure, axes):
        for start, end in list(itertools.pairwise(ends))[::2]:
            axes.axvspan(start + 0.5, end + 0.5, color=GREY, alpha=0.14, linewidth=0)
        plain = {"markeredgewidth": 0, "gid": "progress-scored", "label": "candidate"}
        dots(axes, places[inside], scores[inside], GREY, 3.6, **plain)
        label = "best at the end of a generation"
        axes.plot(ends, best, marker="o", markersize=5, color=BLUE, linewidth=1.4, label=label)
        axes.set_xlim(0.5, len(order) + 1.5)
        number_axis(axes, "x", [1.0, len(order)], log=False)
        if not inside.all():
            set_range(axes, "y", (low, high))
            names = [f"{order[i].architecture}: {digits(scores[i], 4)}" for i in groups["beyond"]]
            points = list(zip(places[~inside].tolist(), scores[~inside].tolist(), strict=True))
            _edge(axes, points, names, "progress-beyond")
        axes.set(xlabel="Architectures scored", ylabel=_score(result))
        figure.legend(loc="outside upper left", ncols=2 if is_narrow(axes) else 3)
    return Picture(
        "progress",
        figure,
        f"The best score over {many(len(generations), 'generation')}.",
        {f"progress-{name}": [_tip(order[i]) for i in part] for name, part in groups.items()},
    )


def _scatter_key(candidate: Candidate) -> tuple[int, int]:
    """Sort by generation, and within it in an order unrelated to the score."""
    return candidate.generation, zlib.crc32(str(candidate.architecture).encode())


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
    """One line for each scored candidate through its sizes; None where fewer than two were."""
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


def _label(axes: Axes, values: npt.NDArray[np.float64], ends: Sequence[_Ends]) -> None:
    """A vertical line for each size, with its ends; a sign tells of values beyond them."""
    axes.set(xlim=(-0.4, len(_SIZES) - 0.6), ylim=(-0.12, 1.12))
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
