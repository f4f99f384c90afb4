"""The learned residual: what the work terms miss, as a factor for each value of each quantity.

The logarithm of measured over predicted is a Gaussian process that is a sum of one-dimensional
curves, one along each quantity of the basis, and of one number for each remainder of a width by the
vector lanes. Such a sum is learned from few rows, is stored as short tables, is evaluated by
interpolation alone, millions of rows a second, and says what it means: "a feed-forward size of
1028 costs 3 % more".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from atb.predictor.fitting.basis import Basis, Columns, FloatArray, IntArray, Quantity, Rows
from atb.predictor.fitting.features import LANES
from atb.predictor.fitting.least_squares import robust_scale

_KNOTS = 33
# The grid of hyperparameters, compared by marginal likelihood: width of the kernel in standard
# deviations of a quantity's logarithm, share of the remainders, variance of noise over signal.
_WIDTHS = (0.5, 1.0, 2.0)
_LANE_SHARES = (0.0, 0.25, 0.5)
_NOISES = tuple(np.geomspace(0.01, 100, 17).tolist())
_MOST_COMPARED = 200  # rows; the likelihood's cost grows with their cube
_MOST_FITTED = 1000
_OUTLIER = 3.0  # robust standard deviations, from which on a row loses its say


@dataclass(frozen=True, slots=True)
class ResidualCurve:
    """The factor along one quantity.

    Attributes:
        quantity: The quantity along which the factor varies.
        knots: Ascending values, float64[k]; between them the factor is interpolated, beyond
            them it stays.
        factors: Factor at each knot, float64[k].
        lane_factors: Factor for each remainder by `LANES`, float64[LANES].
    """

    quantity: Quantity
    knots: FloatArray
    factors: FloatArray
    lane_factors: FloatArray

    def __post_init__(self) -> None:
        if (
            self.knots.ndim != 1
            or len(self.knots) == 0
            or self.factors.shape != self.knots.shape
            or self.lane_factors.shape != (LANES,)
            or not np.all(np.diff(self.knots) > 0)
            or not np.all((self.factors > 0) & np.isfinite(self.factors))
            or not np.all((self.lane_factors > 0) & np.isfinite(self.lane_factors))
        ):
            raise ValueError(f"the curve of {self.quantity.name} is malformed")

    def factor(self, columns: Columns) -> FloatArray:
        """Factor on the latency, float64[n]."""
        values = self.quantity.of(columns)
        factors = np.interp(values, self.knots, self.factors)
        if self.quantity.fills_lanes:
            factors *= self.lane_factors[_remainders(values)]
        return factors


@dataclass(frozen=True, slots=True)
class Residual:
    """The product of the factors along all quantities that varied in training."""

    curves: tuple[ResidualCurve, ...]

    def factor(self, columns: Columns) -> FloatArray:
        """Factor on the latency, float64[n]."""
        product = np.ones(len(columns[0]))
        for curve in self.curves:
            product *= curve.factor(columns)
        return product


def _remainders(values: FloatArray) -> IntArray:
    return values.astype(np.int64) % LANES


@dataclass(frozen=True, slots=True)
class _Axis:
    """One quantity over the training rows; distances are of logarithms where all are positive."""

    quantity: Quantity
    values: FloatArray
    logarithmic: bool
    deviation: float

    @classmethod
    def of(cls, quantity: Quantity, columns: Columns) -> _Axis:
        values = quantity.of(columns)
        logarithmic = bool(values.min() > 0)
        # equal values have a tiny deviation of rounding, not zero
        spread = np.std(np.log(values) if logarithmic else values) if np.ptp(values) else 0.0
        return cls(quantity, values, logarithmic, float(spread))

    def scaled(self, values: FloatArray) -> FloatArray:
        """Positions along the axis, in standard deviations."""
        return np.asarray((np.log(values) if self.logarithmic else values) / self.deviation)

    def knots(self) -> FloatArray:
        """All values where they are few, else as many evenly spaced ones as a table holds."""
        knots = np.unique(self.values)
        if len(knots) <= _KNOTS:
            return knots
        space = np.geomspace if self.logarithmic else np.linspace
        return np.asarray(space(knots[0], knots[-1], _KNOTS))

    def smooth(self, at: FloatArray, width: float) -> FloatArray:
        """Kernel between values [m] and the training rows, [m, n]."""
        distance = np.subtract.outer(self.scaled(at), self.scaled(self.values)) / width
        return np.asarray(np.exp(-0.5 * distance**2))

    def lanes(self, at: IntArray) -> FloatArray:
        """Kernel between remainders [m] and the training rows, [m, n]: the same, or not."""
        return np.equal.outer(at, _remainders(self.values)).astype(np.float64)


def fit_residual(
    basis: Basis, rows: Rows, log_ratios: FloatArray, spreads: FloatArray, rng: np.random.Generator
) -> Residual:
    """Learn the residual.

    Args:
        basis: Whose quantities it may bend along.
        rows: The training rows, [n, columns], n >= 2.
        log_ratios: Logarithm of measured over predicted by the work terms, float64[n].
        spreads: Relative spread of each row, float64[n].
        rng: Draws the rows that are used where there are very many.
    """
    errors = log_ratios / spreads
    spreads = spreads * np.maximum(np.abs(errors) / (_OUTLIER * robust_scale(errors)), 1) ** 2
    order = rng.permutation(len(rows))[:_MOST_FITTED]
    targets, spreads = log_ratios[order], spreads[order]
    axes = _varying(basis, basis.columns_of(rows[order]))
    if not axes:
        return Residual(())
    width, share, noise = _best_hyperparameters(axes, targets, spreads)
    smooth, lanes = _kernels(axes, width)
    kernel = (1 - share) * smooth + share * lanes + noise * np.diag(spreads**2)
    weights = np.asarray(np.linalg.solve(kernel, targets), dtype=np.float64)
    smooth_part = weights * ((1 - share) / len(axes))
    lane_part = weights * (share / max(1, sum(axis.quantity.fills_lanes for axis in axes)))
    return Residual(tuple(_curve(axis, width, smooth_part, lane_part) for axis in axes))


def _varying(basis: Basis, columns: Columns) -> list[_Axis]:
    axes = (_Axis.of(quantity, columns) for quantity in basis.quantities)
    return [axis for axis in axes if axis.deviation > 0]


def curve_correlation(basis: Basis, columns: Columns, width: float) -> FloatArray:
    """Correlation of n rows by curves of a width along all quantities that vary, float64[n, n]."""
    axes = _varying(basis, columns)
    count = len(columns[0])
    return _kernels(axes, width)[0] if axes else np.zeros((count, count))


def _kernels(axes: list[_Axis], width: float) -> tuple[FloatArray, FloatArray]:
    """Kernels of the curves and of the remainders between all training rows, each of mean 1."""
    smooth = np.mean([axis.smooth(axis.values, width) for axis in axes], axis=0)
    wide = [axis.lanes(_remainders(axis.values)) for axis in axes if axis.quantity.fills_lanes]
    return smooth, np.mean(wide, axis=0) if wide else np.ones_like(smooth)


def _best_hyperparameters(
    axes: list[_Axis], targets: FloatArray, spreads: FloatArray
) -> tuple[float, float, float]:
    """Kernel width, share of the remainders and noise of the greatest marginal likelihood.

    One eigendecomposition serves all noises; the signal's variance has a closed form.
    """
    some = slice(0, _MOST_COMPARED)
    axes = [replace(axis, values=axis.values[some]) for axis in axes]
    targets, spreads = targets[some], spreads[some]
    best, best_score = (1.0, 0.0, _NOISES[-1]), -np.inf
    for width in _WIDTHS:
        smooth, lanes = _kernels(axes, width)
        for share in _LANE_SHARES:
            kernel = ((1 - share) * smooth + share * lanes) / np.outer(spreads, spreads)
            values, vectors = np.linalg.eigh(kernel)
            energies = (vectors.T @ (targets / spreads)) ** 2
            for noise in _NOISES:
                variances = np.maximum(values, 0) + noise
                signal = max(float(np.mean(energies / variances)), np.finfo(float).tiny)
                score = -len(targets) * np.log(signal) - float(np.sum(np.log(variances)))
                if score > best_score:
                    best, best_score = (width, share, noise), score
    return best


def _curve(
    axis: _Axis, width: float, weights: FloatArray, lane_weights: FloatArray
) -> ResidualCurve:
    """Tabulate the process along one axis."""
    knots = axis.knots()
    lane_factors = np.ones(LANES)
    if axis.quantity.fills_lanes:
        lane_factors = np.exp(axis.lanes(np.arange(LANES)) @ lane_weights)
    return ResidualCurve(
        axis.quantity, knots, np.exp(axis.smooth(knots, width) @ weights), lane_factors
    )
