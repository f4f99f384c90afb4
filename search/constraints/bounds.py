"""Limits beside the latency: parameters, and size, memory and energy of what is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from atb.devices.runtimes import timing_sizes
from atb.errors import InputError
from atb.models import Architecture, parameter_count
from atb.predictor import LatencyPredictor
from atb.predictor.fitting import architecture_at, rows_of
from atb.profiler.statistics import Measurement
from atb.units import format_amount, parse_amount

BoundName = Literal["parameters", "size", "memory", "energy"]
BOUNDS: tuple[BoundName, ...] = get_args(BoundName)
_UNITS: dict[BoundName, str] = {"parameters": "", "size": "B", "memory": "B", "energy": "J"}
_FURTHER: dict[BoundName, str] = {
    "size": "artefact_bytes",
    "memory": "memory_bytes",
    "energy": "energy_joules",
}
#: Tables of words and positions stay in float32 in every precision.
_TABLE_BYTES = 4
#: How often the tables lie in memory at its largest, while a model is loaded: as read from the file
#: and as they are kept (seen of onnxruntime by
#: benchmarks/searching/deployed_bounds.py; the most of others).
_COPIES = {"size": 1, "memory": 2}
_SEGMENTS = 2


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a model may have of something.

    Attributes:
        name: Of what.
        most: How much: a number, bytes or joules.
    """

    name: BoundName
    most: float

    def __str__(self) -> str:
        return f"{self.name}={format_amount(self.most, _UNITS[self.name])}"


def parse_bound(text: str) -> Bound:
    """Turn `size=20MB` into a bound.

    Raises:
        InputError: It is of another form.
    """
    name, equals, amount = text.partition("=")
    known = next((bound for bound in BOUNDS if bound == name.strip()), None)
    if known is None or not equals:
        raise InputError(
            f"{text!r} is not a limit: write one of {', '.join(BOUNDS)} with an amount, such as "
            "parameters=10M, size=20MB, memory=50MB or energy=30mJ."
        )
    return Bound(known, parse_amount(amount, _UNITS[known]))


@dataclass(frozen=True)
class Deployed:
    """Tells what a deployed model has of what is bounded.

    Predictors know the timing graph, which has a small vocabulary; the full tables are added.

    Attributes:
        predictor: Of the device, with what else it was fitted on.
        vocabulary_size: Tokens of the deployed model.
        positions: Its longest sequence.
    """

    predictor: LatencyPredictor
    vocabulary_size: int
    positions: int

    def check(self, bounds: Sequence[Bound]) -> None:
        """Refuse what the predictor cannot tell.

        Raises:
            InputError: It was not measured.
        """
        known = getattr(self.predictor, "further", {})
        for bound in bounds:
            if bound.name in _FURTHER and _FURTHER[bound.name] not in known:
                raise InputError(
                    f"The predictor does not know {bound.name}, which the device did not tell "
                    f"while it was measured: leave --limit {bound.name} out."
                )

    def upper(self, bound: Bound, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The most that shapes [n, 5] are expected to have [n], the upper ends of intervals."""
        if bound.name == "parameters":
            return self._parameters(rows)
        further: Any = self.predictor
        estimates = further.predict_further(rows)[_FURTHER[bound.name]]
        upper = np.asarray(estimates.upper, dtype=np.float64)
        return upper if bound.name == "energy" else upper + self._tables(bound, rows)

    def measured(self, bound: Bound, measurement: Measurement) -> float | None:
        """What a measured model has, with the full tables; None where it was not told."""
        rows = rows_of([measurement.architecture])
        if bound.name == "parameters":
            return float(self._parameters(rows)[0])
        value: float | None = getattr(measurement, _FURTHER[bound.name])
        if value is None or bound.name == "energy":
            return value
        return value + float(self._tables(bound, rows)[0])

    def _tables(self, bound: Bound, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Bytes by which the full tables exceed those of the timing graph."""
        sizes = timing_sizes(self.predictor.conditions.settings)
        timed = sizes["vocabulary_size"] + sizes["positions"]
        full = self.vocabulary_size + self.positions
        each = _TABLE_BYTES * rows[:, 1].astype(np.float64) * (full - timed)
        return np.asarray(_COPIES[bound.name] * each)

    def _parameters(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        layers, hidden, _, qkv, feed_forward = rows.astype(np.int64).T
        tables = self.vocabulary_size + self.positions + _SEGMENTS
        count = parameter_count(layers, hidden, qkv, feed_forward, tables=tables)
        return np.asarray(count, dtype=np.float64)


class BoundReach:
    """Which rows meet all bounds, and the least of each that was seen, for the message."""

    def __init__(self, bounds: Sequence[Bound], deployed: Deployed) -> None:
        deployed.check(bounds)
        self._bounds = bounds
        self._deployed = deployed
        self._least: dict[Bound, tuple[float, Architecture]] = {}

    def admits(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which shapes [n, 5], all of them within the latency window, meet every bound [n]."""
        kept = np.ones(len(rows), dtype=np.bool_)
        for bound in self._bounds if len(rows) else ():
            upper = self._deployed.upper(bound, rows)
            place = int(upper.argmin())
            if bound not in self._least or upper[place] < self._least[bound][0]:
                self._least[bound] = float(upper[place]), architecture_at(rows[place])
            kept &= upper <= bound.most
        return kept

    def error(self) -> InputError | None:
        """What to tell when none was kept; None when no row was within the window."""
        for bound, (least, architecture) in self._least.items():
            if least > bound.most:
                return InputError(
                    f"The limit {bound} is below reach within the latency window: the least is "
                    f"{replace(bound, most=least)} ({architecture}); raise it, or lower the "
                    "latency limit or the window."
                )
        if not self._least:
            return None
        both = " and ".join(str(bound) for bound in self._bounds)
        return InputError(
            f"No architecture within the latency window keeps {both} at once: raise one of them, "
            "or lower the latency limit or the window."
        )
