"""Measurements as checked arrays, on which predictors are fitted and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from atb.errors import InputError
from atb.predictor.fitting import (
    FloatArray,
    IntArray,
    Observations,
    architecture_at,
    columns_of,
    rows_of,
)
from atb.predictor.targets import FURTHER_TARGETS
from atb.profiler import Conditions
from atb.profiler.statistics import Measurement

#: Fewer cannot carry a ninety-percent interval: its quantile needs nine rows held out in turn.
LEAST_ROWS = 10


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Latencies of architectures under one set of conditions.

    Attributes:
        rows: int[n, 5] with the columns of `atb.models.space.FEATURES`.
        seconds: Latency of each architecture, float64[n].
        half_widths: Half the width of each measured interval, in seconds, float64[n].
        conditions: Under which all were measured.
        campaigns: Names of the campaigns that they come from.
        excluded: How many unusable measurements were left out.
        further: What was measured beside, by name of `FURTHER_TARGETS`: float64[n], not a number
            where it was not told.

    Raises:
        InputError: Shapes do not agree, or a number is impossible.
    """

    rows: IntArray
    seconds: FloatArray
    half_widths: FloatArray
    conditions: Conditions
    campaigns: tuple[str, ...] = ()
    excluded: int = 0
    further: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns_of(self.rows)
        count = len(self.rows)
        if self.seconds.shape != (count,) or self.half_widths.shape != (count,):
            raise InputError(
                f"{count} architectures came with {self.seconds.size} latencies and "
                f"{self.half_widths.size} half widths: give one of each."
            )
        for name, values, possible in (
            ("latency", self.seconds, self.seconds > 0),
            ("half width of the interval", self.half_widths, self.half_widths >= 0),
        ):
            wrong = np.flatnonzero(~(np.isfinite(values) & possible))
            if len(wrong):
                raise InputError(
                    f"The {name} of {architecture_at(self.rows[wrong[0]])} is "
                    f"{values[wrong[0]]} seconds: leave it out, or measure it again."
                )

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def from_measurements(
        cls,
        measurements: Iterable[Measurement],
        *,
        least_rows: int = LEAST_ROWS,
        emulated: bool = False,
    ) -> TrainingSet:
        """Collect measurements, but for unusable ones.

        Those flagged because the machine was off its level enter: they are corrected, and count by
        the width of their intervals.

        Args:
            measurements: All under the same conditions.
            least_rows: How many different architectures there must be.
            emulated: Whether to take those of an emulated processor too.

        Raises:
            InputError: Too few, mixed conditions, an emulated processor, or an impossible latency.
        """
        every = list(measurements)
        used = [measurement for measurement in every if measurement.usable]
        excluded = len(every) - len(used)
        if not used:
            raise InputError(
                f"There is no usable measurement ({excluded} preempted or launched too seldom): "
                "measure with `atb profile`."
            )
        conditions = used[0].conditions
        for other in used:
            if other.conditions != conditions:
                differences = "; ".join(conditions.differences(other.conditions))
                raise InputError(
                    f"The measurements are of several conditions ({differences}): "
                    "choose those of one, for example with --device, --precision or --threads."
                )
        if not emulated:
            refuse_emulated(conditions)
        intervals = np.array([measurement.interval_seconds for measurement in used])
        found = cls(
            rows_of([measurement.architecture for measurement in used]),
            np.array([measurement.latency_seconds for measurement in used]),
            (intervals[:, 1] - intervals[:, 0]) / 2,
            conditions,
            tuple(dict.fromkeys(measurement.campaign for measurement in used)),
            excluded,
            {target.name: _numbers(map(target.of, used)) for target in FURTHER_TARGETS},
        )
        found.require_rows(least_rows)
        return found

    def require_rows(self, least: int) -> None:
        """Make sure that there are enough different architectures.

        Raises:
            InputError: There are fewer than `least`.
        """
        distinct = len(np.unique(self.rows, axis=0))
        if distinct < least:
            raise InputError(
                f"{distinct} architectures have a usable measurement ({self.excluded} preempted or "
                f"launched too seldom) and {least} are needed: measure more with "
                "`atb profile --samples`."
            )

    @property
    def architectures(self) -> tuple[str, ...]:
        """Each architecture once, in text form."""
        return tuple(dict.fromkeys(str(architecture_at(row)) for row in self.rows))

    def take(self, index: IntArray) -> TrainingSet:
        """The rows at these positions."""
        return replace(
            self,
            rows=self.rows[index],
            seconds=self.seconds[index],
            half_widths=self.half_widths[index],
            further={name: values[index] for name, values in self.further.items()},
        )

    def further_observations(self, name: str) -> Observations:
        """The rows of which something else was told as well."""
        values = self.further[name]
        told = np.flatnonzero(np.isfinite(values) & (values > 0))
        return Observations(self.rows[told], values[told], np.zeros(len(told)))

    @property
    def observations(self) -> Observations:
        """Rows and latencies for a fit."""
        return Observations(self.rows, self.seconds, self.half_widths)


def refuse_emulated(conditions: Conditions) -> None:
    """Make sure that latencies under these conditions are those of a real processor.

    Raises:
        InputError: An emulator stands in for it.
    """
    if conditions.emulator is not None:
        raise InputError(
            f"Latencies on {conditions.device} are those of the emulator {conditions.emulator}, "
            "and not even their order is that of a real processor: measure on a real one; the "
            "commands of `atb predictor` take them all the same with --force."
        )


def _numbers(values: Iterable[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
