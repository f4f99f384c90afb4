"""What the page says about device, measurements and predictor; None where there is nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from atb.devices.host import STATE_FIELDS
from atb.models import Architecture
from atb.predictor import LatencyPredictor, WorkPredictor, explain
from atb.profiler import Conditions, Failure
from atb.profiler.statistics import Measurement
from atb.report import Fit
from atb.report.pictures import Picture, digits, in_both_widths, many, percent, pictures, size

__all__ = ["device_section", "latency_section", "predictor_section"]

_GOOD_ERROR = 0.05


def device_section(
    conditions: Conditions, measurements: Sequence[Measurement], others: Sequence[Conditions]
) -> dict[str, Any]:
    """Facts of the device, of the runtime and the settings, and its changing state.

    Args:
        conditions: What the page is about.
        measurements: Made under them.
        others: Further conditions that the database knows.
    """
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
        "others": [str(other) for other in others],
    }


def _state_row(name: str, values: Sequence[Any]) -> tuple[str, str, str, str]:
    if all(isinstance(value, int | float) for value in values):
        low, middle, high = min(values), float(np.median(values)), max(values)
        words = tuple(_reading(name, float(value)) for value in (low, middle, high))
        return (_words(name), words[0], words[1], words[2])
    return (_words(name), ", ".join(sorted({str(value) for value in values})), "", "")


def _reading(name: str, value: float) -> str:
    unit = name.rpartition("_")[2]
    shown = {
        "hertz": lambda: f"{digits(value / 1e9)} GHz",
        "celsius": lambda: f"{value:.0f} °C",
        "seconds": lambda: f"{digits(value)} s",
        "bytes": lambda: size(value),
        "10s": lambda: percent(value),
        "throttles": lambda: f"{value:,.0f}",
    }
    return shown[unit]() if unit in shown else digits(value)


def _words(name: str) -> str:
    """A field's name as words; its unit stands beside its values."""
    renamed = {
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
    return renamed.get(name, name.replace("_", " "))


def latency_section(
    measurements: Sequence[Measurement], failures: Sequence[Failure]
) -> dict[str, Any] | None:
    """What was measured, how sharply, and what went wrong."""
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
        "picture": in_both_widths(lambda w: pictures.latencies(measurements, width_inches=w)),
        "sentinel": in_both_widths(lambda w: pictures.sentinel(measurements, width_inches=w)),
        "flagged": flagged,
        "all": sorted(measurements, key=lambda m: m.latency_seconds),
    }


def predictor_section(
    predictor: LatencyPredictor | None, fits: Sequence[Fit], winner: Architecture | None
) -> dict[str, Any] | None:
    """How good the predictor is on what it has not seen, and what it says the winner costs."""
    if predictor is None:
        return None
    work: tuple[Picture, ...] = ()
    summary = ""
    if isinstance(predictor, WorkPredictor):
        found = predictor.summary
        summary = (
            f"Fitted on {many(found.rows, 'measurement')}, {found.excluded} left "
            f"out. Its intervals are made to hold {percent(predictor.coverage)} of new "
            f"measurements; a learned residual "
            f"{'was shown to help' if predictor.model.residual else 'was not needed'}."
        )
        if winner is not None:
            parts = explain(predictor, winner)
            work = in_both_widths(lambda w: pictures.work(parts, width_inches=w))
    return {
        "summary": summary,
        "rows": [
            (fit.how, len(fit), percent(fit.mape), percent(fit.within(_GOOD_ERROR)),
             percent(fit.within(2 * _GOOD_ERROR)), f"{fit.spearman:.4f}")
            for fit in fits
        ],
        "picture": in_both_widths(lambda w: pictures.predictions(fits, width_inches=w))
        if fits
        else (),
        "work": work,
    }  # fmt: skip
