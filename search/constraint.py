"""The latency limit of a search, and the window below it in which candidates lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.units import format_duration

__all__ = ["REFERENCE_WINDOW", "WINDOW", "LatencyLimit"]

#: Fractions of the limit between which a candidate's predicted latency lies. Nothing above the
#: limit is admitted; what is much faster leaves quality on the table.
WINDOW = (0.85, 1.00)
#: The window of the reference implementation (spec 1.9).
REFERENCE_WINDOW = (0.85, 1.10)


@dataclass(frozen=True, slots=True)
class LatencyLimit:
    """What a model may take for one inference.

    Attributes:
        seconds: The limit that the measured latency of the winner meets.
        window: Fractions of it between which predicted latencies of candidates lie.
        basis: Where the limit comes from, in words.

    Raises:
        InputError: The limit or the window is impossible.
    """

    seconds: float
    window: tuple[float, float] = WINDOW
    basis: str = "given"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"The latency limit is {self.seconds} s: give a positive duration.")
        if not 0 < self.window[0] < self.window[1] < np.inf:
            raise InputError(
                f"The window is {self.window}: give two rising fractions like 0.85,1.00."
            )

    @classmethod
    def speedup(
        cls,
        factor: float,
        reference_seconds: float,
        *,
        reference: str = "the reference",
        window: tuple[float, float] = WINDOW,
    ) -> LatencyLimit:
        """The limit of a model that is `factor` times as fast as a reference.

        Args:
            factor: The speed-up, above 0.
            reference_seconds: Latency of the reference, measured under the same conditions.
            reference: Its name.
            window: Fractions of the limit for candidates.

        Raises:
            InputError: The factor is not a positive number.
        """
        if not (np.isfinite(factor) and factor > 0):
            raise InputError(f"The speed-up is {factor}: give a positive number, such as 7.")
        basis = f"{factor:g} times as fast as {reference} at {format_duration(reference_seconds)}"
        return cls(reference_seconds / factor, window, basis)

    @property
    def bounds_seconds(self) -> tuple[float, float]:
        """Smallest and largest predicted latency of a candidate."""
        return self.window[0] * self.seconds, self.window[1] * self.seconds

    def admits(self, latency_seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which predicted latencies lie in the window, both ends included."""
        low, high = self.bounds_seconds
        return (latency_seconds >= low) & (latency_seconds <= high)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"seconds": self.seconds, "window": list(self.window), "basis": self.basis}
