"""What a search found, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from atb.commands.output.console import print_result
from atb.units import format_duration

if TYPE_CHECKING:
    from atb.search import SearchResult


def print_search(
    result: SearchResult, out: Path, *, json: bool, further: Mapping[str, Path] | None = None
) -> None:
    """Print the winner, its limits and how it was found.

    Args:
        result: What the search found.
        out: Folder of the search.
        json: Whether to print one document.
        further: Files that were written besides the model, by name.
    """
    files = {"model": out / "model", **(further or {})}
    found = (*_winner(result), *_quality(result), *_scores(result), *_front(result))
    facts = (*found, *files.items())
    print_result(result.to_json(), *(f"{name:<9} {value}" for name, value in facts), json=json)


def _winner(result: SearchResult) -> Iterator[tuple[str, str]]:
    winner = result.winner
    assert winner.measured_seconds is not None
    assert winner.interval_seconds is not None
    low, high = (format_duration(seconds) for seconds in winner.interval_seconds)
    yield "winner", str(winner.architecture)
    yield (
        "measured",
        (
            f"{format_duration(winner.measured_seconds)} ({low} to {high}), "
            f"limit {format_duration(result.constraint_seconds)}, "
            f"predicted {format_duration(winner.predicted_seconds)}"
        ),
    )
    for place in winner.further_targets:
        assert place.measured_seconds is not None
        yield (
            place.name,
            (
                f"{format_duration(place.measured_seconds)}, limit "
                f"{format_duration(place.limit_seconds)}, predicted "
                f"{format_duration(place.predicted_seconds)} ({place.conditions})"
            ),
        )
    if winner.verdict(result.constraint_seconds) != "met":
        yield "limit", "not certain to be met: an interval reaches above it"
    for one in result.alternatives:
        if one.measured_seconds is None:
            yield one.name, str(one.refused)
        else:
            duration = format_duration(one.measured_seconds)
            yield one.name, f"{one.proxy:.4f}  {one.winner} in {duration} ({one.conditions})"
    for bound in result.bounds:
        yield "kept", str(bound)


def _quality(result: SearchResult) -> Iterator[tuple[str, str]]:
    """How good the model is, in terms that people know."""
    quality = result.quality
    if quality is None:
        return
    faster = ""
    if quality.teacher_seconds is not None:
        speed = quality.teacher_seconds / result.winner.latency_seconds
        faster = f", at {speed:.1f} times its speed"
    pairs = f"{quality.ranking:.1%} of its teacher's ranking of {quality.count:,} sentence pairs"
    yield "quality", f"keeps {pairs}{faster}"
    yield "", f"keeps {quality.nearest:.0%} of the ten nearest sentences of each sentence"
    if quality.scores is not None:
        teacher = f"(its teacher by {quality.teacher_scores:.3f})"
        yield "", f"agrees with the scores that people gave by {quality.scores:.3f} {teacher}"
    if quality.slice_ranking is not None:
        duration = format_duration(quality.improved_seconds)
        yield "improved", f"in {duration}, from {quality.slice_ranking:.1%} of the ranking"


def _scores(result: SearchResult) -> Iterator[tuple[str, str]]:
    early = f" ({result.pruned} pruned)" if result.pruned else ""
    yield (
        "score",
        (
            f"{result.proxy} {result.winner.proxy:.4f}, best that meets the limit of "
            f"{result.evaluations} scored{early} and {result.feasible:,} within the window"
        ),
    )
    yield from result.scoring.items()


def _front(result: SearchResult) -> Iterator[tuple[str, str]]:
    if result.method != "pareto":
        return
    covered = result.hypervolumes[-1]
    yield "front", f"{len(result.front)} architectures, hypervolume {covered:.3f}"
    for candidate in result.front:
        how = "predicted" if candidate.measured_seconds is None else "measured"
        duration = f"  {format_duration(candidate.latency_seconds):>9}"
        yield duration, f"{how:9} {candidate.proxy:8.4f}  {candidate.architecture}"
