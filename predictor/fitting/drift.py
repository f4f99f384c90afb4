"""How the device itself changed while rows were measured, told from the order of collection.

Architectures are drawn at random, so that errors which resemble their neighbours in time are the
device's and not the architecture's. The logarithm of measured over predicted is taken as a process
that wanders around its level and returns to it (Ornstein and Uhlenbeck, 1930), plus noise of each
row. The process has the Markov property, so that its likelihood and its smoothed course come from a
Kalman filter and a Rauch-Tung-Striebel smoother in one pass each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atb.predictor.fitting.basis import FloatArray
from atb.predictor.fitting.least_squares import robust_scale

#: Fewer rows do not tell a wandering device from chance.
_LEAST_ROWS = 30
#: Gain of the logarithm of the likelihood, for two further parameters, from which on it is believed
#: (twice it is compared with chi-square; this is beyond one in ten thousand).
_LEAST_GAIN = 10.0
#: Grid of the ratio of the process's deviation to the noise, and number of time scales tried.
_RATIOS = tuple(np.geomspace(0.25, 16, 7).tolist())
_TIME_SCALES = 8
_ROUNDS = 3
#: Robust standard deviations from which on a row loses its say.
_OUTLIER = 3.0


@dataclass(frozen=True, slots=True)
class Drift:
    """A factor on what is measured, by when it is measured; its middle is 1.

    Attributes:
        order: Ascending positions in the order of collection, float64[k].
        factors: Factor at each, float64[k]; between them it is interpolated.
        time_scale: Beyond the ends it returns to 1 with this time constant.
    """

    order: FloatArray
    factors: FloatArray
    time_scale: float

    def __post_init__(self) -> None:
        if (
            self.order.ndim != 1
            or self.order.shape != self.factors.shape
            or len(self.order) == 0
            or not np.all(np.diff(self.order) > 0)
            or not np.all((self.factors > 0) & np.isfinite(self.factors))
            or not self.time_scale > 0
        ):
            raise ValueError("the drift is malformed")

    def at(self, order: FloatArray) -> FloatArray:
        """The factor at these positions, float64[n]."""
        logs = np.interp(order, self.order, np.log(self.factors))
        outside = np.maximum(self.order[0] - order, order - self.order[-1])
        return np.asarray(np.exp(logs * np.exp(-np.maximum(outside, 0) / self.time_scale)))


def fit_drift(order: FloatArray, log_ratios: FloatArray, spreads: FloatArray) -> Drift | None:
    """Learn the course of the device, where there is one.

    Args:
        order: When each row was measured, float64[n], in any order.
        log_ratios: Logarithm of measured over predicted, float64[n].
        spreads: Relative spread of each row, float64[n].

    Returns:
        None where the errors are explained as well without.
    """
    if len(order) < _LEAST_ROWS or np.ptp(order) == 0:
        return None
    sorting = np.argsort(order, kind="stable")
    order, log_ratios, spreads = order[sorting], log_ratios[sorting], spreads[sorting]
    log_ratios = log_ratios - np.median(log_ratios)
    gaps = np.diff(order)
    weighted = spreads
    course = np.zeros(len(order))
    scale = 0.0
    for _ in range(_ROUNDS):
        errors = (log_ratios - course) / spreads
        weighted = spreads * np.maximum(np.abs(errors) / (_OUTLIER * robust_scale(errors)), 1)
        scale, ratio, gain = _best(gaps, log_ratios, weighted)
        if gain < _LEAST_GAIN:
            return None
        course = _smooth(gaps, log_ratios, weighted, scale, ratio)
    course = course - np.median(course)
    positions, first = np.unique(order, return_index=True)
    return Drift(positions, np.exp(course[first]), scale)


def _best(gaps: FloatArray, values: FloatArray, spreads: FloatArray) -> tuple[float, float, float]:
    """Time scale and ratio of the greatest likelihood, and its gain over no drift."""
    typical = float(np.sum(gaps)) / len(gaps)
    scales = np.geomspace(2 * typical, max(len(gaps) / 2, 4) * typical, _TIME_SCALES)
    grid = [(scale, ratio) for scale in scales.tolist() for ratio in _RATIOS]
    scale_of, ratio_of = (np.array(part) for part in zip(*grid, strict=True))
    scores = _log_likelihoods(gaps, values, spreads, scale_of, ratio_of)
    without = _log_likelihoods(gaps, values, spreads, np.array([typical]), np.array([0.0]))
    best = int(np.argmax(scores))
    return grid[best][0], grid[best][1], float(scores[best] - without[0])


def _log_likelihoods(
    gaps: FloatArray,
    values: FloatArray,
    spreads: FloatArray,
    scales: FloatArray,
    ratios: FloatArray,
) -> FloatArray:
    """Log-likelihood of each pair of the grid, float64[grid]; the noise has a closed form."""
    stationary = ratios**2
    mean, variance = np.zeros(len(scales)), stationary.copy()
    squares, logarithms = np.zeros(len(scales)), np.zeros(len(scales))
    for i, value in enumerate(values):
        if i:
            decay = np.exp(-gaps[i - 1] / scales)
            mean, variance = decay * mean, stationary + decay**2 * (variance - stationary)
        total = variance + spreads[i] ** 2
        error = value - mean
        squares += error**2 / total
        logarithms += np.log(total)
        gain = variance / total
        mean, variance = mean + gain * error, variance * (1 - gain)
    noise = squares / len(values)
    return np.asarray(-0.5 * (len(values) * np.log(noise) + logarithms))


def _smooth(
    gaps: FloatArray, values: FloatArray, spreads: FloatArray, scale: float, ratio: float
) -> FloatArray:
    """The course given all rows, float64[n]."""
    count, stationary = len(values), ratio**2
    decays = np.exp(-gaps / scale)
    means, variances = np.empty(count), np.empty(count)
    mean, variance = 0.0, stationary
    for i in range(count):
        if i:
            mean = decays[i - 1] * mean
            variance = stationary + decays[i - 1] ** 2 * (variance - stationary)
        gain = variance / (variance + spreads[i] ** 2)
        mean, variance = mean + gain * (values[i] - mean), variance * (1 - gain)
        means[i], variances[i] = mean, variance
    smoothed = means.copy()
    for i in range(count - 2, -1, -1):
        ahead = stationary + decays[i] ** 2 * (variances[i] - stationary)
        back = variances[i] * decays[i] / ahead
        smoothed[i] = means[i] + back * (smoothed[i + 1] - decays[i] * means[i])
    return smoothed
