"""Whether steps and drift are found, and whether what is found is there.

1. On the noise trace of this machine, as it came: a stretch that the sentinel flags is a false
   alarm when the other models, timed in between, were not off their levels by half the band in the
   same direction at that time. (Not those that live in the shared cache: it has a sentinel of its
   own.)
2. Steps of 20 s planted into the trace where it was calm: how many are found.
3. HAT's public latency files in the order of their rows: least squares on work terms, and the
   stretches in which its residuals leave the band.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.profiler.statistics.sentinel import (
    BAND,
    LEVEL_QUANTILE,
    WINDOW_SECONDS,
    DriftWatch,
    cache_share,
    running_median,
)
from benchmarks.noise.noise_trace import Series, read_trace, subject_of
from benchmarks.shared.record import machine, write_result

Array = npt.NDArray[np.float64]

STEPS = (0.03, 0.02, -0.02)
STEP_SECONDS = 20.0
PLANTED = 400
#: Rows of HAT's files that make a window, and how far their median may lie off.
HAT_WINDOW_ROWS, HAT_BAND = 41, 0.04


def alarms(times: Array, values: Array, level: float) -> Array:
    """Moments at which the watch raises an alarm that was not up before."""
    watch, up, found = DriftWatch(level), False, []
    for at, value in zip(times, values, strict=True):
        told = watch.add(float(at), float(value))
        if told and not up:
            found.append(at)
        up = told
    return np.array(found)


def find_shifted(
    times: Sequence[float],
    values: Sequence[float],
    *,
    level: float,
    window: float = WINDOW_SECONDS,
    band: float = BAND,
) -> npt.NDArray[np.bool_]:
    """Which readings lie in a stretch where the running median leaves the band, bool [n].

    A stretch shorter than half the window is none: the median only touched the edge.

    Args:
        times: Rising; seconds, or plain row numbers.
        values: Readings of the sentinel, or any ratios.
        level: What they are where nothing is shifted.
        window: Of the running median, in the unit of the times.
        band: How far it may lie from the level, as a share.
    """
    if not len(times):
        return np.zeros(0, dtype=bool)
    ratio = np.log(running_median(times, values, window=window) / level)
    shifted = np.asarray(np.abs(ratio) > math.log1p(band))
    for begin, end in runs(shifted):
        if times[end - 1] - times[begin] < window / 2:
            shifted[begin:end] = False
    return shifted


def runs(wanted: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin of each run of true values, and the place after its end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
    return [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def stretches(times: Array, shifted: npt.NDArray[np.bool_]) -> Iterator[tuple[float, float]]:
    """Begin and end of each run of shifted readings."""
    for wrong, run in itertools.groupby(zip(times, shifted, strict=True), key=lambda pair: pair[1]):
        moments = [at for at, _ in run]
        if wrong:
            yield moments[0], moments[-1]


def other_models(trace: dict[str, Series], begin: float, end: float) -> float:
    """Median slowdown between two moments of the other models that need no shared cache."""
    values = np.concatenate(
        [
            series.slowdown[(series.seconds >= begin - 1) & (series.seconds <= end + 1)]
            for name, series in trace.items()
            if name != "sentinel" and cache_share(subject_of(name), "fp32") < 0.5
        ]
    )
    return float(np.median(values)) if len(values) else 1.0


def natural(trace: dict[str, Series]) -> dict[str, Any]:
    """What the sentinel flags in the trace as it came."""
    sentinel = trace["sentinel"]
    shifted = find_shifted(sentinel.seconds, sentinel.slowdown, level=1.0)
    smooth = np.log(running_median(sentinel.seconds, sentinel.slowdown, window=WINDOW_SECONDS))
    found = list(stretches(sentinel.seconds, shifted))
    false = 0
    for begin, end in found:
        inside = (sentinel.seconds >= begin) & (sentinel.seconds <= end)
        direction = np.sign(np.median(smooth[inside]))
        false += bool(direction * np.log(other_models(trace, begin, end)) < np.log1p(BAND) / 2)
    hours = float(sentinel.seconds[-1]) / 3600
    return {
        "minutes": round(60 * hours, 1),
        "stretches": len(found),
        "share_of_time": round(float(shifted.mean()), 3),
        "false": false,
        "false_an_hour": round(false / hours, 2),
    }


def calm_parts(sentinel: Series) -> list[tuple[float, float]]:
    """Times at which a planted step stands alone: nothing shifted around it."""
    smooth = running_median(sentinel.seconds, sentinel.slowdown, window=WINDOW_SECONDS)
    margin = STEP_SECONDS + 2 * WINDOW_SECONDS
    starts = np.arange(WINDOW_SECONDS, sentinel.seconds[-1] - margin, 1.0)
    found = []
    for start in starts:
        inside = (sentinel.seconds >= start - WINDOW_SECONDS) & (sentinel.seconds <= start + margin)
        if np.abs(np.log(smooth[inside])).max() < np.log1p(BAND) and inside.sum() > 50:
            found.append((float(start), float(start) + STEP_SECONDS))
    return found


def planted(sentinel: Series, rng: np.random.Generator) -> dict[str, Any]:
    """How many planted steps are found while they last, and how soon."""
    places = calm_parts(sentinel)
    figures: dict[str, Any] = {"calm_seconds": len(places)}
    for step in STEPS if places else ():
        delays = []
        for begin, end in (places[i] for i in rng.integers(len(places), size=PLANTED)):
            near = (sentinel.seconds > begin - WINDOW_SECONDS) & (sentinel.seconds < end)
            times = sentinel.seconds[near]
            values = sentinel.slowdown[near] * np.where(times >= begin, 1 + step, 1.0)
            told = alarms(times, values, 1.0)
            told = told[told >= begin]
            delays.append(float(told[0] - begin) if len(told) else np.nan)
        figures[f"{step:+.0%}"] = {
            "planted": PLANTED,
            "found": round(float(np.isfinite(delays).mean()), 4),
            "median_delay_seconds": round(float(np.nanmedian(delays)), 2),
        }
    return figures


def work_terms(row: dict[str, float]) -> list[float]:
    """Twenty terms of work of an encoder-decoder (multiply-adds, per-layer and fixed parts)."""
    e, n, f, a = (
        row["encoder_embed_dim"],
        row["encoder_layer_num"],
        row["encoder_ffn_embed_dim_avg"],
        row["encoder_self_attention_heads_avg"],
    )
    d, m, g, b, c, x = (
        row["decoder_embed_dim"],
        row["decoder_layer_num"],
        row["decoder_ffn_embed_dim_avg"],
        row["decoder_self_attention_heads_avg"],
        row["decoder_ende_attention_heads_avg"],
        row["decoder_arbitrary_ende_attn_avg"],
    )
    encoder = [n, n * e, n * e * f, n * e * a, n * a, e]
    decoder = [m, m * d, m * d * g, m * d * b, m * d * c, m * b, m * c, m * e * c, m * x]
    return [1.0, *encoder, *decoder, d, m * x * c, m * d * x, n * f]


def hat_file(path: Path) -> dict[str, Any]:
    """Residuals of one file in row order, and the stretches that are flagged."""
    with path.open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    latency = np.array([row["latency_mean_encoder"] + row["latency_mean_decoder"] for row in rows])
    terms = np.array([work_terms(row) for row in rows])
    terms /= np.abs(terms).max(axis=0)
    weights, *_ = np.linalg.lstsq(terms / latency[:, None], np.ones(len(latency)), rcond=None)
    ratio = latency / np.maximum(terms @ weights, 1e-9)
    # most rows were measured in one state: its level is where the ratios are densest
    level = half_sample_mode(ratio)
    index = np.arange(len(ratio), dtype=float)
    shifted = find_shifted(index, ratio, level=level, window=HAT_WINDOW_ROWS, band=HAT_BAND)
    long = [
        (int(begin), int(end))
        for begin, end in stretches(index, shifted)
        if end - begin >= HAT_WINDOW_ROWS / 2
    ]
    eighths = np.array_split(index.astype(int), 8)
    return {
        "rows": len(ratio),
        "residual_mape": round(100 * float(np.abs(ratio / np.median(ratio) - 1).mean()), 2),
        "median_ratio_by_eighth": [round(float(np.median(ratio[e]) / level), 3) for e in eighths],
        "flagged_share_by_eighth": [round(float(shifted[e].mean()), 2) for e in eighths],
        "stretches": long,
    }


def half_sample_mode(values: Sequence[float] | Array) -> float:
    """Mode by halving the shortest half again and again (Bickel and Fruehwirth, 2006)."""
    ordered = np.sort(np.asarray(values, dtype=float))
    while len(ordered) > 3:
        half = (len(ordered) + 1) // 2
        widths = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
        start = int(np.argmin(widths))
        ordered = ordered[start : start + half]
    return float(np.mean(ordered))


def main() -> None:
    """All three parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hat", type=Path, help="Folder of HAT's latency files.")
    arguments = parser.parse_args()
    started, trace = machine(), read_trace(level_quantile=LEVEL_QUANTILE)
    figures: dict[str, Any] = {
        "natural": natural(trace),
        "planted": planted(trace["sentinel"], np.random.default_rng(0)),
    }
    if arguments.hat is not None:
        figures["hat"] = {path.stem: hat_file(path) for path in sorted(arguments.hat.glob("*.csv"))}
    print(json.dumps(figures, indent=1))
    write_result("drift", figures, started)


if __name__ == "__main__":
    main()
