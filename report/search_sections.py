"""What the page says about the winner, the search and the neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atb.report import search_pictures
from atb.report.neighbours import Neighbour
from atb.report.numbers import count, digits, many, milliseconds, percent, times
from atb.report.provenance import model_files, snippets_of
from atb.report.shape_picture import shapes
from atb.search.result import SearchResult, Weighed

__all__ = ["neighbour_section", "search_section", "winner_row", "winner_section"]

_REFERENCES = ("bert-base", "tinybert-4", "minilm-6", "bert-mini")
_MOST_REFERENCES = 3


def winner_section(
    result: SearchResult, known: Sequence[Neighbour], model: Path | None, folder: Path
) -> dict[str, Any]:
    """What the winner is, whether it keeps the limit, and how to load it.

    Args:
        result: What the search returned.
        known: Known architectures on this device, to speak of speed-ups.
        model: Folder of the winner's files, if there is one.
        folder: Of the page.
    """
    return {
        "architecture": result.winner.architecture,
        "verdict": _verdict(result),
        "tiles": [*_tiles(result), *_speedups(result, known)],
        "files": [] if model is None else model_files(model, folder),
        "snippets": [] if model is None else snippets_of(model, folder),
    }


def _verdict(result: SearchResult) -> dict[str, Any]:
    """Whether the winner keeps the limit, in three parts of which the middle one is the point."""
    winner, limit = result.winner, result.constraint_seconds
    over = winner.latency_seconds > limit
    how = "Predicted, not measured" if winner.measured_seconds is None else "Measured"
    after = f", and uses {percent(winner.latency_seconds / limit)} of it."
    if over:
        after = f", by {percent(winner.latency_seconds / limit - 1)}."
    elif winner.interval_seconds is not None and winner.interval_seconds[1] > limit:
        after = f", though its interval reaches {milliseconds(winner.interval_seconds[1])}."
    return {
        "before": f"{how}: {milliseconds(winner.latency_seconds)}. It is ",
        "point": f"{'above' if over else 'under'} the limit of {milliseconds(limit)}",
        "after": after,
        "over": over,
    }


def _tiles(result: SearchResult) -> list[tuple[str, str, str]]:
    """Name, value and a word below it."""
    winner, length = result.winner, result.conditions.settings.sequence_length
    tiles = []
    beside = ""
    if winner.measured_seconds is not None:
        interval = winner.interval_seconds
        words = "" if interval is None else with_bounds(interval)
        tiles.append(("measured latency", milliseconds(winner.measured_seconds), words))
        error = winner.predicted_seconds / winner.measured_seconds - 1
        beside = f"{percent(error, signed=True)} against the measured"
    tiles.append(("predicted latency", milliseconds(winner.predicted_seconds), beside))
    basis = "" if result.basis == "given" else result.basis
    tiles.append(("limit", milliseconds(result.constraint_seconds), basis))
    if winner.proxy is not None:
        tiles.append((f"score ({result.proxy})", digits(winner.proxy, 4), "higher is better"))
    a = winner.architecture
    work = count(a.multiply_adds(length))
    return [
        *tiles,
        ("parameters", count(a.parameters()), "with the full vocabulary"),
        ("multiply-adds", work, f"of the encoder, {length} tokens"),
    ]


def _speedups(result: SearchResult, known: Sequence[Neighbour]) -> list[tuple[str, str, str]]:
    by_name = {name: row for row in known for name in row.names}
    return [
        (
            f"speed-up over {name}",
            times(row.seconds / result.winner.latency_seconds),
            f"it takes {milliseconds(row.seconds)}, {row.basis}",
        )
        for name in _REFERENCES
        if (row := by_name.get(name)) is not None and row.basis != "extrapolated"
    ][:_MOST_REFERENCES]


def search_section(result: SearchResult) -> dict[str, Any]:
    """How the winner was found."""
    limit = result.constraint_seconds
    low, high = (milliseconds(share * limit) for share in result.window)
    finalists = result.finalists
    met = sum((c.measured_seconds or 0.0) <= limit for c in finalists)
    failed = sum(c.proxy is None for c in result.candidates)
    summary = (
        f"Of the space {result.space}, {many(result.feasible, 'architecture')} are predicted to "
        f"take {low} to {high}. The method {result.method} scored {result.evaluations:,} of them "
        f"in {many(result.generations, 'generation')} by the proxy {result.proxy}"
        + (f" ({failed} failed)" if failed else "")
        + (f", {result.hopeless} were given up early" if result.hopeless else "")
        + f"; {many(len(finalists), 'finalist')} were measured, {met} met the limit."
    )
    if result.correction != 1:
        summary += f" Measured finalists corrected the predictions by {times(result.correction)}."
    if result.weighed:
        summary += f" It is the best of several settings: {'; '.join(map(_told, result.weighed))}."
    return {
        "summary": summary,
        "picture": search_pictures.search(result),
        "progress": search_pictures.progress(result),
        "shapes": shapes(result),
        "finalists": finalists,
        "limit": limit,
    }


def _told(one: Weighed) -> str:
    if one.proxy is None or one.measured_seconds is None:
        return f"{one.name} has nothing within the limits"
    return f"{one.name} scores {one.proxy:.4f} in {milliseconds(one.measured_seconds)}"


def winner_row(result: SearchResult) -> Neighbour:
    """The winner as one of the rows of neighbours."""
    winner = result.winner
    return Neighbour(
        ("winner",),
        winner.architecture,
        winner.latency_seconds,
        winner.interval_seconds,
        "predicted" if winner.measured_seconds is None else "measured",
    )


def neighbour_section(
    rows: Sequence[Neighbour], result: SearchResult | None
) -> dict[str, Any] | None:
    """The known architectures on this device, with the winner among them if there is one."""
    if not rows:
        return None
    counts = Counter(row.basis for row in rows)
    own = None if result is None else winner_row(result)
    limit = None if result is None else result.constraint_seconds
    return {
        "summary": f"{many(len(rows), 'known architecture')} of nearby latency, and some that "
        f"everybody knows: {counts['measured']} measured, {counts['predicted']} predicted, "
        f"{counts['extrapolated']} extrapolated, which is predicted outside the range that the "
        "predictor was fitted on and promises nothing.",
        "picture": search_pictures.neighbours(rows, own, limit),
        "rows": sorted([*rows, *([own] if own else [])], key=lambda row: row.seconds),
        "own": own,
    }


def with_bounds(interval: tuple[float, float]) -> str:
    """An interval in words."""
    return f"{milliseconds(interval[0], unit=False)} to {milliseconds(interval[1])}"
