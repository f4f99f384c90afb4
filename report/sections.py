"""Sections of the page, as what its template shows; None where there are no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.host import STATE_FIELDS
from atb.models import Architecture
from atb.predictor import LatencyPredictor, WorkPredictor, explain
from atb.profiler import Conditions, Failure
from atb.profiler.statistics import Measurement
from atb.report.baselines import Baseline
from atb.report.held_out import UnseenPredictions
from atb.report.pictures import (
    Picture,
    baseline_latencies,
    count,
    digits,
    in_both_widths,
    many,
    milliseconds,
    percent,
    pictures,
    search as search_pictures,
    size,
    times,
)
from atb.report.provenance import model_files, snippets_of
from atb.search import MARGIN, AlternativeResult, Candidate, LimitVerdict, SearchResult

_REFERENCES = ("bert-base", "tinybert-4", "minilm-6", "bert-mini")
_MOST_REFERENCES = 3
#: How a sentence on the proxy goes on, by what scores rest on.
_SCORING = {"teacher": "held against", "text": "on", "tasks": "on the tasks", "task": "on"}


def winner_section(
    result: SearchResult, known: Sequence[Baseline], model: Path | None, folder: Path
) -> dict[str, Any]:
    """The section of the winner: its shape, whether it meets the limit, how to load it.

    Args:
        result: Result of the search.
        known: Published architectures on this device, to speak of speed-ups.
        model: Folder of the winner's files, if there is one.
        folder: Folder of the page, from which paths are named.
    """
    return {
        "architecture": result.winner.architecture,
        "verdict": _verdict(result),
        "tiles": [*_quality(result), *_tiles(result), *_speedups(result, known)],
        "files": [] if model is None else model_files(model, folder),
        "snippets": [] if model is None else snippets_of(model, folder),
    }


def _verdict(result: SearchResult) -> dict[str, Any]:
    """A sentence on whether the winner meets the limit; its middle part is emphasised."""
    winner, limit = result.winner, result.constraint_seconds
    verdict = winner.verdict(limit)
    seconds, shown = winner.latency_seconds, milliseconds(limit)
    how = "Predicted, not measured" if verdict is None else "Measured"
    if seconds > limit:
        parts = ("It is ", f"above the limit of {shown}", f", by {percent(seconds / limit - 1)}.")
    elif verdict is None:
        parts = ("The prediction is ", f"under the limit of {shown}", ".")
    elif verdict == "met":
        share = percent(seconds / limit)
        under = f"under the limit of {shown}"
        parts = ("Its whole interval is ", under, f"; it uses {share} of it.")
    else:
        parts = ("It is ", "not certain to meet the limit", f": {_uncertainty(result)}.")
    before, point, after = parts
    certain = seconds <= limit and verdict in (None, "met")
    return {
        "before": f"{how}: {milliseconds(seconds)}. {before}",
        "point": point,
        "after": after,
        "over": not certain,
    }


def _uncertainty(result: SearchResult) -> str:
    """Name the targets where the winner's interval reaches above the limit."""
    winner = result.winner
    places = [("its interval", winner.interval_seconds, result.constraint_seconds)] + [
        (f"its interval in {place.name}", place.interval_seconds, place.limit_seconds)
        for place in winner.further_targets
    ]
    return "; ".join(
        f"{name} reaches {milliseconds(interval[1])}, and the limit is {milliseconds(limit)}"
        for name, interval, limit in places
        if interval is not None and interval[1] > limit
    )


def _quality(result: SearchResult) -> list[tuple[str, str, str]]:
    """How good the model is as an encoder of sentences: the same three as of `_tiles`."""
    quality = result.quality
    if quality is None:
        return []
    before = ""
    if quality.slice_ranking is not None:
        before = f", {percent(quality.slice_ranking)} before it learnt on"
    pairs = f"of {quality.count:,} sentence pairs by {quality.teacher}{before}"
    nearest = "of the ten nearest sentences of each sentence"
    ranking = percent(quality.ranking), percent(quality.nearest)
    tiles = [("keeps of the ranking", ranking[0], pairs), ("of the nearest", ranking[1], nearest)]
    if quality.teacher_seconds is not None:
        speed = quality.teacher_seconds / result.winner.latency_seconds
        tiles.append(("speed-up over the teacher", times(speed), "the whole SuperPLM"))
    if quality.scores is not None and quality.teacher_scores is not None:
        teacher = f"the teacher: {digits(quality.teacher_scores, 3)}"
        tiles.append(("agrees with people", digits(quality.scores, 3), teacher))
    return tiles


def _tiles(result: SearchResult) -> list[tuple[str, str, str]]:
    """Name, value and a word below it."""
    winner, length = result.winner, result.conditions.settings.sequence_length
    tiles = []
    beside = ""
    if winner.measured_seconds is not None:
        words = ""
        if winner.interval_seconds is not None:
            low, high = winner.interval_seconds
            words = f"{milliseconds(low, unit=False)} to {milliseconds(high)}"
        tiles.append(("measured latency", milliseconds(winner.measured_seconds), words))
        error = winner.predicted_seconds / winner.measured_seconds - 1
        beside = f"{percent(error, signed=True)} from the measured one"
    tiles.append(("predicted latency", milliseconds(winner.predicted_seconds), beside))
    basis = "" if result.basis == "given" else result.basis
    tiles.append(("limit", milliseconds(result.constraint_seconds), basis))
    for place in winner.further_targets:
        seconds = place.measured_seconds or place.predicted_seconds
        how = "predicted" if place.measured_seconds is None else "measured"
        words = f"limit {milliseconds(place.limit_seconds)}"
        tiles.append((f"{how} in {place.name}", milliseconds(seconds), words))
    if winner.proxy is not None:
        tiles.append((f"score ({result.proxy})", digits(winner.proxy, 4), "higher is better"))
    a = winner.architecture
    work = count(a.multiply_adds(length))
    return [
        *tiles,
        ("parameters", count(a.parameters()), "with a vocabulary of 30,522 and 512 positions"),
        ("multiply-adds", work, f"of the encoder, {length} tokens"),
    ]


def _speedups(result: SearchResult, known: Sequence[Baseline]) -> list[tuple[str, str, str]]:
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
    """The section of the search: how the winner was found."""
    limit = result.constraint_seconds
    low, high = (milliseconds(share * limit) for share in result.window)
    finalists = result.finalists
    failed = sum(c.proxy is None for c in result.candidates)
    summary = (
        f"Of the space {result.space}, {many(result.feasible, 'architecture')} are predicted to "
        f"take {low} to {high}. The method {result.method} scored {result.evaluations:,} of them "
        f"in {many(result.generations, 'generation')} by the proxy {result.proxy}"
        + "".join(
            f", {_SCORING.get(name, 'with')} {words}" for name, words in result.scoring.items()
        )
        + (f" ({failed} failed)" if failed else "")
        + (f", {result.pruned} pruned" if result.pruned else "")
        + f". Finalists measured: {len(finalists)}. {_verdicts(result)}"
    )
    if result.correction != 1:
        summary += f" Measured finalists corrected the predictions by {times(result.correction)}."
    if result.alternatives:
        alternatives = "; ".join(map(_alternative, result.alternatives))
        summary += f" It is the best of several settings: {alternatives}."
    return {
        "summary": summary,
        "picture": in_both_widths(search_pictures.search, result),
        "progress": in_both_widths(search_pictures.progress, result),
        "shapes": in_both_widths(search_pictures.shapes, result),
        "finalists": [(c, _WORDS[c.verdict(limit)]) for c in finalists],
        "rule": _rule(result),
    }


#: What the table of finalists says of each.
_WORDS: dict[LimitVerdict | None, str] = {
    "met": "met",
    "uncertain": "not certain",
    "missed": "missed",
    None: "not measured",
}


def _verdicts(result: SearchResult) -> str:
    """A sentence on how many finalists meet the limit."""
    counts = Counter(c.verdict(result.constraint_seconds) for c in result.finalists)
    parts = [f"the whole interval is within the limit for {counts['met']}"]
    if counts["uncertain"]:
        parts.append(f"across it for {counts['uncertain']}")
    if counts["missed"]:
        parts.append(f"above it for {counts['missed']}")
    sentence = ", ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _rule(result: SearchResult) -> str:
    """Sentences on the rule by which the winner was taken."""
    others = " and which meets the further limits" if result.bounds else ""
    rule = f"whole interval is within the limit with a margin of {percent(MARGIN)}{others}"
    if result.winner.verdict(result.constraint_seconds, MARGIN) == "met":
        return f"The winner is the best-scoring finalist whose {rule}."
    return (
        f"When measuring ended, there was no finalist whose {rule}: the winner is the best-scoring "
        "one whose measured latency is within the limit."
    )


def _alternative(one: AlternativeResult) -> str:
    if one.proxy is None or one.measured_seconds is None:
        return f"{one.name} has nothing within the limits"
    return f"{one.name} scores {one.proxy:.4f} in {milliseconds(one.measured_seconds)}"


def _winner_row(winner: Candidate) -> Baseline:
    """The winner as one of the baselines."""
    return Baseline(
        ("winner",),
        winner.architecture,
        winner.latency_seconds,
        winner.interval_seconds,
        "predicted" if winner.measured_seconds is None else "measured",
    )


def baseline_section(
    rows: Sequence[Baseline], result: SearchResult | None
) -> dict[str, Any] | None:
    """The published architectures on this device, with the winner among them if there is one."""
    if not rows:
        return None
    counts = Counter(row.basis for row in rows)
    own = None if result is None else _winner_row(result.winner)
    limit = None if result is None else result.constraint_seconds
    which = "" if result is None else " of similar latency or widely used"
    return {
        "summary": f"{many(len(rows), 'published architecture')}{which}: {counts['measured']} "
        f"measured, {counts['predicted']} predicted, {counts['extrapolated']} extrapolated. "
        "Extrapolated ones lie outside the range that the predictor was fitted on, where its "
        "intervals are not reliable.",
        "picture": in_both_widths(baseline_latencies, rows, own, limit),
        "rows": sorted([*rows, *([own] if own else [])], key=lambda row: row.seconds),
        "own": own,
    }


def device_section(
    conditions: Conditions | None, measurements: Sequence[Measurement], known: Sequence[Conditions]
) -> dict[str, Any] | None:
    """The section of the device: facts, runtime, settings, state, other `known` conditions."""
    if conditions is None:
        return None
    settings = conditions.settings
    pinned = ", ".join(str(cpu) for cpu in settings.affinity or ()) or "left to the system"
    states = [record.state for m in measurements for record in m.blocks]
    readings = {
        name: [state[name] for state in states if state.get(name) is not None]
        for name in STATE_FIELDS
    }
    return {
        "platform": [
            ("device", conditions.device),
            *((_words(name), value) for name, value in conditions.platform),
        ],
        "settings": [
            ("runtime", f"{conditions.runtime} {conditions.runtime_version}"),
            ("precision", settings.precision),
            ("threads", settings.threads),
            ("pinned to CPUs", pinned),
            ("batch", settings.batch),
            ("sequence length", f"{settings.sequence_length} tokens"),
            ("scenario", settings.scenario),
        ],
        "state": [_state_row(name, values) for name, values in readings.items() if values],
        "unavailable": [_words(name) for name, values in readings.items() if states and not values],
        "others": [str(other) for other in known if other != conditions],
    }


def _state_row(name: str, values: Sequence[Any]) -> tuple[str, str, str, str]:
    if not all(isinstance(value, int | float) for value in values):
        return (_words(name), ", ".join(sorted({str(value) for value in values})), "", "")
    show = _SHOWN.get(name.rpartition("_")[2], digits)
    low, middle, high = (show(float(v)) for v in (min(values), np.median(values), max(values)))
    return (_words(name), low, middle, high)


#: How a reading is shown, by the end of its field's name, which is its unit.
_SHOWN: dict[str, Callable[[float], str]] = {
    "hertz": lambda value: f"{digits(value / 1e9)} GHz",
    "celsius": lambda value: f"{value:.0f} °C",
    "seconds": lambda value: f"{digits(value)} s",
    "bytes": size,
    "10s": percent,
    "throttles": lambda value: f"{value:,.0f}",
}


#: Fields of a device's state in words; units stand beside the values.
_RENAMED = {
    "logical_cpus": "logical CPUs",
    "usable_cpus": "usable CPUs",
    "load_average_1min": "load average over a minute",
    "frequency_hertz": "frequency",
    "temperature_celsius": "temperature",
    "cpu_pressure_10s": "share of time in which some task waits",
    "steal_seconds": "stolen by the host since boot",
    "memory_available_bytes": "memory available",
    "quota_throttles": "times throttled by quota",
    "thermal_throttles": "times throttled by heat",
}


def _words(name: str) -> str:
    return _RENAMED.get(name, name.replace("_", " "))


def latency_section(
    measurements: Sequence[Measurement], failures: Sequence[Failure]
) -> dict[str, Any] | None:
    """The section of the measurements: latencies, interval widths, flags and failures."""
    if not measurements and not failures:
        return None
    kinds = Counter((f.subject, f.cause, f.detail, f.campaign) for f in failures)
    section: dict[str, Any] = {"failures": list(kinds.items()), "all": [], "flagged": []}
    if not measurements:
        return section
    half_width = float(np.median([m.estimate.relative_half_width for m in measurements]))
    flagged = [m for m in measurements if m.flagged]
    blocks = sum(len(m.blocks) for m in measurements)
    campaigns = dict.fromkeys(m.campaign for m in measurements)
    estimators = ", ".join(dict.fromkeys(m.estimator for m in measurements))
    return section | {
        "summary": f"{many(len(measurements), 'measurement')} in "
        f"{many(len(campaigns), 'campaign')} ({', '.join(campaigns)}), from "
        f"{many(blocks, 'block')} of iterations; the median interval is ±{percent(half_width)} of "
        f"the latency. {many(len(flagged), 'measurement')} flagged, "
        f"{many(len(failures), 'failure')}. Estimator: {estimators}.",
        "picture": in_both_widths(pictures.latencies, measurements),
        "sentinel": in_both_widths(pictures.sentinel, measurements),
        "flagged": flagged,
        "all": sorted(measurements, key=lambda m: m.latency_seconds),
    }


def predictor_section(
    predictor: LatencyPredictor | None,
    fits: Sequence[UnseenPredictions],
    winner: Architecture | None,
) -> dict[str, Any] | None:
    """The section of the predictor: its errors on unseen rows, and the winner's predicted time."""
    if predictor is None:
        return None
    work: tuple[Picture, ...] = ()
    summary = ""
    if isinstance(predictor, WorkPredictor):
        found, needed = predictor.summary, predictor.model.residual is not None
        summary = (
            f"Fitted on {many(found.rows, 'measurement')}, {found.excluded} left out. "
            f"Its intervals are to contain {percent(predictor.coverage)} of new measurements; "
            f"a learned residual {'lowers the held-out error' if needed else 'was not needed'}."
        )
        if winner is not None:
            parts = explain(predictor, winner)
            work = in_both_widths(pictures.work, parts)
    rows = []
    for fit in fits:
        e = fit.evaluation
        shares = (percent(share) for share in (e.mape, e.within_5, e.within_10))
        rows.append((fit.how, len(fit), *shares, f"{e.spearman:.4f}"))
    return {
        "summary": summary,
        "rows": rows,
        "picture": fits and in_both_widths(pictures.predictions, fits),
        "work": work,
    }
