"""Sections of the device, the measurements and the predictor; None where there are no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from atb.devices.host import STATE_FIELDS
from atb.models import Architecture
from atb.predictor import LatencyPredictor, WorkPredictor, explain
from atb.profiler import Conditions, Failure
from atb.profiler.statistics import Measurement
from atb.report import UnseenPredictions
from atb.report.pictures import Picture, digits, in_both_widths, many, percent, pictures, size

__all__ = ["device_section", "latency_section", "predictor_section"]


def device_section(
    conditions: Conditions | None, measurements: Sequence[Measurement], known: Sequence[Conditions]
) -> dict[str, Any] | None:
    """The section of the device: facts, runtime, settings, and its changing state.

    Args:
        conditions: What the page is about.
        measurements: Those made under these conditions.
        known: All conditions of the database.
    """
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
        "picture": in_both_widths(lambda w: pictures.latencies(measurements, width_inches=w)),
        "sentinel": in_both_widths(lambda w: pictures.sentinel(measurements, width_inches=w)),
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
            work = in_both_widths(lambda w: pictures.work(parts, width_inches=w))
    rows = []
    for fit in fits:
        e = fit.evaluation
        shares = (percent(share) for share in (e.mape, e.within_5, e.within_10))
        rows.append((fit.how, len(fit), *shares, f"{e.spearman:.4f}"))
    return {
        "summary": summary,
        "rows": rows,
        "picture": fits and in_both_widths(lambda w: pictures.predictions(fits, width_inches=w)),
        "work": work,
    }
