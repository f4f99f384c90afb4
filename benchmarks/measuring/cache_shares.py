"""What models of different sizes share of the pressure on the shared cache, against the table.

From two sources: the models of the noise trace (`noise/trace.npz`), and all architectures of a
profile database whose campaigns were timed beside other load, such as that of `repeatability.py`.
Of each launch one value: log latency = level + exponent * (slowness of the sentinel) + share *
(pressure), by least squares over all launches of a model. The table lies in sentinel.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.models.architecture import Architecture
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.statistics.estimators import LaunchEstimator
from atb.profiler.statistics.measurement import Measurement
from atb.profiler.statistics.sentinel import cache_share, sentinel_seconds, size_ratio
from benchmarks.noise.noise_trace import read_trace, subject_of
from benchmarks.shared.record import machine, write_result

Array = npt.NDArray[np.float64]

#: Readings of the second sentinel so many seconds around a block tell the pressure on it.
WINDOW_SECONDS = 3.0
UNCORRECTED = LaunchEstimator("uncorrected", 0.25, 0.5, 0.0)


def fitted(
    architecture: Architecture, y: Array, slowness: Array, pressure: Array
) -> dict[str, Any]:
    """One row of the table: all arguments float64 [launches], logarithms."""
    terms = np.column_stack([np.ones(len(y)), slowness, pressure])
    solution = np.linalg.lstsq(terms, y, rcond=None)[0]
    residual = y - terms @ solution
    variance = float(residual @ residual) / (len(y) - terms.shape[1])
    error = np.sqrt(np.diag(np.linalg.inv(terms.T @ terms)) * variance)
    return {
        "architecture": str(architecture),
        "size": round(size_ratio(architecture, "fp32"), 2),
        "launches": len(y),
        "exponent": round(float(solution[1]), 2),
        "share": round(float(solution[2]), 2),
        "share_error": round(float(error[2]), 2),
        "table": round(cache_share(architecture, "fp32"), 2),
        "residual_percent": round(100 * variance**0.5, 2),
    }


def by_launch(launch: npt.NDArray[np.int64], values: Array) -> Array:
    """Median of each launch."""
    return np.array([np.median(values[launch == number]) for number in np.unique(launch)])


def from_trace() -> list[dict[str, Any]]:
    """The models of the trace."""
    trace = read_trace()
    sentinel, cache = trace["sentinel"], trace["cache"]

    def beside(seconds: Array) -> Array:
        """The sentinel just before each time."""
        place = np.clip(np.searchsorted(sentinel.seconds, seconds) - 1, 0, None)
        return np.log(sentinel.slowdown[place])

    pressed = np.log(cache.slowdown) - beside(cache.seconds)
    rows = []
    for name in [name for name in trace if name not in ("sentinel", "cache")]:
        series = trace[name]
        low, high = (
            np.searchsorted(cache.seconds, series.seconds + offset)
            for offset in (-WINDOW_SECONDS, WINDOW_SECONDS)
        )
        pressure = np.array([np.median(pressed[a:b]) for a, b in zip(low, high, strict=True)])
        columns = (np.log(series.slowdown), beside(series.seconds), pressure)
        rows.append(
            fitted(subject_of(name), *(by_launch(series.launch, column) for column in columns))
        )
    return rows


def from_database(path: Path) -> list[dict[str, Any]]:
    """The architectures of a database, whatever campaigns they were timed in."""
    with ProfileDatabase(path) as database:
        every = read_measurements(database)
    of: dict[Architecture, list[Measurement]] = {}
    for m in every:
        of.setdefault(m.architecture, []).append(m)
    return [fitted(a, *launches_of(found)) for a, found in of.items()]


def launches_of(found: Sequence[Measurement]) -> tuple[Array, Array, Array]:
    """Latency, slowness and pressure of every launch of one model."""
    rows = []
    for m in found:
        assert m.cache is not None
        assert m.sentinel_reference is not None
        for launch in sorted({record.launch for record in m.kept}):
            records = [record for record in m.kept if record.launch == launch]
            (value,) = UNCORRECTED.launch_values(records, threads=1, reference=None)
            around = [sentinel_seconds(record, threads=1) or np.nan for record in records]
            pressed = [m.cache.logs.get((r.launch, r.block), 0.0) for r in records]
            slowness = np.median(np.log(np.array(around) / m.sentinel_reference))
            rows.append((value, slowness, np.median(pressed)))
    y, slowness, pressure = np.array(rows).T
    return y, slowness, pressure


def table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """A plain table, small models first."""
    print(f"\n{title:28s} size  exponent  share        table  residual")
    for row in sorted(rows, key=lambda row: row["size"]):
        print(
            f"{row['architecture']:28s} {row['size']:5.2f} {row['exponent']:7.2f} "
            f"{row['share']:7.2f} +-{row['share_error']:.2f} {row['table']:6.2f} "
            f"{row['residual_percent']:7.2f} %"
        )


def main() -> None:
    """Fit, show, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", type=Path, help="Profile database to read beside the trace.")
    arguments = parser.parse_args()
    started, figures = machine(), {"trace": from_trace()}
    table("the noise trace", figures["trace"])
    if arguments.db is not None:
        figures["database"] = from_database(arguments.db)
        table("the database", figures["database"])
    write_result("cache_shares", figures, started)


if __name__ == "__main__":
    main()
