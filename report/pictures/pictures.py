"""The pictures of measurements and predictions, one function each: facts in, a `Picture` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from atb.profiler.statistics import Measurement, sentinel_seconds
from atb.report import UnseenPredictions
from atb.report.pictures.drawing import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PAPER,
    dots,
    is_narrow,
    number_axis,
    one_panel,
    robust_range,
    two_panels,
    with_interval,
    write_beside,
)
from atb.report.pictures.numbers import digits, many, milliseconds, percent
from atb.report.pictures.style import WIDTH_INCHES
from atb.report.pictures.svg import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GOOD_ERROR = 0.05
#: Parts of a prediction below this share are drawn as one.
_SMALL_PART = 0.005


def latencies(
    measurements: Sequence[Measurement], *, width_inches: float = WIDTH_INCHES
) -> Picture:
    """Measured latency against multiply-adds, and how wide the intervals are."""
    with two_panels(3.7, width_inches, (5, 3)) as (figure, left, right):
        tips = _latency_cloud(left, measurements)
        _interval_widths(right, measurements)
    seconds = [m.latency_seconds for m in measurements]
    return Picture(
        "latencies",
        figure,
        f"Measured latency of {many(len(seconds), 'architecture')} against multiply-adds, from "
        f"{milliseconds(min(seconds))} to {milliseconds(max(seconds))}, with intervals.",
        tips,
    )


def _latency_cloud(axes: Axes, measurements: Sequence[Measurement]) -> dict[str, list[str]]:
    length = measurements[0].conditions.settings.sequence_length
    tips: dict[str, list[str]] = {}
    for flagged, colour, marker, name in (
        (False, BLUE, "o", "measured, with interval"),
        (True, ORANGE, "D", "flagged"),
    ):
        part = [m for m in measurements if m.flagged == flagged]
        if not part:
            continue
        x = [m.architecture.multiply_adds(length) / 1e6 for m in part]
        group = f"latency-{'flagged' if flagged else 'measured'}"
        low, high = 1e3 * np.asarray([m.interval_seconds for m in part]).T
        axes.vlines(x, low, high, color=colour, linewidth=0.9, alpha=0.6)
        y = [1e3 * m.latency_seconds for m in part]
        dots(axes, x, y, colour, 4.5, marker=marker, label=f"{name} ({len(part)})", gid=group)
        tips[group] = [_tip(m) for m in part]
    number_axis(axes, "x", [m.architecture.multiply_adds(length) / 1e6 for m in measurements])
    number_axis(axes, "y", [1e3 * m.latency_seconds for m in measurements])
    axes.set(xlabel="Multiply-adds (millions)", ylabel="Measured latency (ms)")
    axes.set_title("Latency against work")
    axes.legend(loc="upper left", handletextpad=0.2)
    return tips


def _tip(m: Measurement) -> str:
    text = f"{m.architecture}: {with_interval(m.latency_seconds, m.interval_seconds)}"
    return f"{text}; {', '.join(m.reasons)}" if m.reasons else text


def _interval_widths(axes: Axes, measurements: Sequence[Measurement]) -> None:
    widths = np.sort([100 * m.estimate.relative_half_width for m in measurements])
    share = 100 * np.arange(len(widths) + 1) / len(widths)
    axes.step([0.0, *widths], share, where="post", color=BLUE)
    median = float(np.median(widths))
    axes.axvline(median, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    write_beside(axes, f"median {digits(median, 2)} %", (median, 4), (5, 0))
    number_axis(axes, "x", [0.0, *widths], log=False)
    axes.set(xlim=(0, max(widths[-1] * 1.08, median * 2.2, 0.01)), ylim=(0, 103))
    axes.set_xlabel("Half-width of the interval (% of the latency)")
    axes.set_ylabel("Share of measurements (%)")
    axes.set_title("Widths of the intervals")


def sentinel(
    measurements: Sequence[Measurement], *, width_inches: float = WIDTH_INCHES
) -> Picture | None:
    """Latency of the sentinel model beside every block, which shows disturbances of the machine.

    Returns:
        None where no sentinel was timed, or only once.
    """
    readings = sorted(_sentinel_readings(measurements))
    if len(readings) < 2:
        return None
    minutes = [(at - readings[0][0]) / 60 for at, _ in readings]
    percents = [100 * (ratio - 1) for _, ratio in readings]
    with one_panel(2.3, width_inches) as (figure, axes):
        axes.axhline(0, color=MUTED, linewidth=0.9)
        dots(axes, minutes, percents, BLUE, 2.8, markeredgewidth=0, alpha=0.6)
        axes.set_ylim(min(-2.0, 1.1 * min(percents)), max(2.0, 1.1 * max(percents)))
        axes.set(xlabel="Minutes since the first block", ylabel="Sentinel slower by (%)")
    return Picture(
        "sentinel",
        figure,
        f"The sentinel model over {digits(minutes[-1])} minutes: from {min(percents):+.1f} to "
        f"{max(percents):+.1f} percent of its undisturbed latency.",
    )


def _sentinel_readings(measurements: Sequence[Measurement]) -> list[tuple[float, float]]:
    """Unix time, and latency as a multiple of the sentinel's undisturbed level."""
    return [
        (record.readings.started_at, seconds / m.sentinel_reference)
        for m in measurements
        if m.sentinel_reference is not None
        for record in m.blocks
        if (seconds := sentinel_seconds(record, threads=m.conditions.settings.threads)) is not None
    ]


def predictions(
    fits: Sequence[UnseenPredictions], *, width_inches: float = WIDTH_INCHES
) -> Picture:
    """Predicted against measured latency of one or two fits, and how their errors spread."""
    with two_panels(4.3, width_inches, (5, 4)) as (figure, left, right):
        _identity_scatter(left, fits)
        _error_histogram(right, fits)
        columns = 2 if is_narrow(left) else 4
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=columns)
    tips = {
        f"predictions-{number}": [
            f"{shape}: predicted {milliseconds(predicted)}, measured {milliseconds(measured)}"
            for shape, predicted, measured in zip(
                fit.architectures, fit.predicted, fit.measured, strict=True
            )
        ]
        for number, fit in enumerate(fits)
    }
    first, judged = fits[0], fits[0].evaluation
    return Picture(
        "predictions",
        figure,
        f"Predicted against measured latency of {len(first)} architectures, {first.how}: mean "
        f"absolute error {percent(judged.mape)}, {percent(judged.within_5)} within 5 %.",
        tips,
    )


def _identity_scatter(axes: Axes, fits: Sequence[UnseenPredictions]) -> None:
    both = 1e3 * np.concatenate([[*fit.measured, *fit.predicted] for fit in fits])
    span = np.geomspace(both.min() * 0.93, both.max() * 1.07, 50)
    band = (span * (1 - _GOOD_ERROR), span * (1 + _GOOD_ERROR))
    axes.fill_between(span, *band, color=GREEN, alpha=0.2, linewidth=0, label="within 5 %")
    axes.plot(span, span, color=MUTED, linewidth=0.9, label="equal")
    for number, (fit, colour) in enumerate(zip(fits, (BLUE, ORANGE), strict=False)):
        x, y = (1e3 * np.array(seconds) for seconds in (fit.measured, fit.predicted))
        label = f"{fit.how} ({len(fit)})"
        dots(axes, x, y, colour, 4.5, marker="oD"[number], gid=f"predictions-{number}", label=label)
    number_axis(axes, "x", both.tolist())
    number_axis(axes, "y", both.tolist())
    axes.set(xlim=(span[0], span[-1]), ylim=(span[0], span[-1]))
    axes.set_aspect("equal", adjustable="box")
    axes.set(xlabel="Measured latency (ms)", ylabel="Predicted latency (ms)")
    axes.set_title("Predicted against measured")


def _error_histogram(axes: Axes, fits: Sequence[UnseenPredictions]) -> None:
    from matplotlib.ticker import MaxNLocator

    errors = [100 * fit.errors for fit in fits]
    every = np.concatenate(errors)
    reach = max(6.0, float(np.ceil(np.abs(robust_range(every.tolist())).max())))
    beyond = int((np.abs(every) > reach).sum())
    axes.axvspan(-100 * _GOOD_ERROR, 100 * _GOOD_ERROR, color=GREEN, alpha=0.2, linewidth=0)
    shown, bins = [error.clip(-reach, reach) for error in errors], np.linspace(-reach, reach, 25)
    colours = [BLUE, ORANGE][: len(fits)]
    axes.hist(shown, bins.tolist(), stacked=True, color=colours, edgecolor=PAPER, linewidth=0.6)
    axes.axvline(0, color=MUTED, linewidth=0.9)
    axes.set_xlim(-reach, reach)
    words = f"; {beyond} beyond, in the outer bars" if beyond else ", too slow to the right"
    axes.set(xlabel=f"Error of the prediction (%){words}", ylabel="Architectures")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_title("Distribution of the errors")


def work(parts: Mapping[str, float], *, width_inches: float = WIDTH_INCHES) -> Picture:
    """Seconds of each part of a prediction by name; a learned residual may be negative."""
    total = sum(parts.values())
    small = [name for name, seconds in parts.items() if abs(seconds) < _SMALL_PART * total]
    shown = {name: seconds for name, seconds in parts.items() if name not in small}
    if small:
        shown[f"{len(small)} others"] = sum(parts[name] for name in small)
    with one_panel(0.7 + 0.27 * len(shown), width_inches) as (figure, axes):
        axes.barh(list(shown), [1e3 * seconds for seconds in shown.values()], color=BLUE)
        for place, seconds in enumerate(shown.values()):
            words = f"{1e3 * seconds:.2f} ms, {percent(seconds / total)}"
            write_beside(axes, words, (max(1e3 * seconds, 0), place), (5, 0), va="center")
        axes.axvline(0, color=MUTED, linewidth=0.7)
        axes.invert_yaxis()
        axes.margins(x=0.5 if is_narrow(axes) else 0.16)  # room for the words behind the bars
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("Part of the predicted latency (ms)")
    return Picture("work", figure, f"What the predicted {milliseconds(total)} are made of.")
