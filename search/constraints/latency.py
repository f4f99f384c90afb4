"""The latency limit of a search, and the window below it in which candidates lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models import Architecture
from atb.units import format_duration

#: Fractions of the limit between which a candidate's predicted latency lies. Nothing above the
#: limit is admitted; what is much faster leaves quality on the table.
WINDOW = (0.85, 1.00)
#: The window of a search for the whole front below the limit.
WHOLE = (0.01, 1.00)


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
        _check_window(self.window)

    @property
    def bounds_seconds(self) -> tuple[float, float]:
        """Smallest and largest predicted latency of a candidate."""
        return self.window[0] * self.seconds, self.window[1] * self.seconds

    def admits(self, latency_seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which predicted latencies lie in the window, both ends included."""
        low, high = self.bounds_seconds
        return (latency_seconds >= low) & (latency_seconds <= high)


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """A limit relative to an architecture that is measured under the same conditions first.

    Attributes:
        factor: How many times as fast as the reference a model is to be.
        architecture: The reference.
        name: What the user calls it.
        window: Fractions of the limit between which predicted latencies of candidates lie.

    Raises:
        InputError: The factor or the window is impossible.
    """

    factor: float
    architecture: Architecture
    name: str = "the reference"
    window: tuple[float, float] = WINDOW

    def __post_init__(self) -> None:
        if not (np.isfinite(self.factor) and self.factor > 0):
            raise InputError(f"The speed-up is {self.factor}: give a positive number, such as 7.")
        _check_window(self.window)

    def resolve(self, reference_seconds: float) -> LatencyLimit:
        """The limit, once the reference was measured."""
        basis = (
            f"{self.factor:g} times as fast as {self.name}, which takes "
            f"{format_duration(reference_seconds)}"
        )
        return LatencyLimit(reference_seconds / self.factor, self.window, basis)


@dataclass(frozen=True, slots=True)
class Percentile:
    """A limit relative to the space: the predicted latency that a share of it does not exceed.

    Attributes:
        share: Of the architectures, above 0 and at most 1.
        window: Fractions of the limit between which predicted latencies of candidates lie.

    Raises:
        InputError: The share or the window is impossible.
    """

    share: float
    window: tuple[float, float] = WINDOW

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"A share of {self.share} was asked for: give one above 0 up to 1.")
        _check_window(self.window)

    def resolve(self, predicted_seconds: npt.NDArray[np.float64]) -> LatencyLimit:
        """The limit, once the latency of every architecture of the space is predicted."""
        basis = f"predicted not to be exceeded by {self.share:.4g} of the space"
        seconds = float(np.quantile(predicted_seconds, self.share))
        return LatencyLimit(seconds, self.window, basis)


def _check_window(window: tuple[float, float]) -> None:
    if not 0 < window[0] < window[1] < np.inf or window[0] >= 1:
        raise InputError(
            f"The window is {window[0]:g},{window[1]:g}: give two rising fractions of the limit, "
            "the first below 1, such as 0.85,1.00."
        )
