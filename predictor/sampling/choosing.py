"""Which architectures to measure next: those that make predictions of all others surest.

The logarithm of a latency is taken as known up to a Gaussian: the coefficient of each work term is
doubted by a share of itself, a smooth curve along each quantity may bend the sum, and each
measurement has noise. A row is worth what measuring it takes from the variance of all rows on
average (integrated variance; Cohn 1996, Neural network exploration using optimal experiment
design).
"""

from __future__ import annotations

import numpy as np

from atb.predictor.fitting import Basis, FloatArray, IntArray, Rows, curve_correlation

#: Standard deviation of a coefficient, as a share of what its term costs.
_COEFFICIENT_DOUBT = 0.5
#: Standard deviation of all curves together, and their width in standard deviations of a quantity.
_CURVE_DOUBT, _CURVE_WIDTH = 0.05, 1.0
#: Of a measurement, as a share.
_NOISE = 0.01


def choose_rows(
    basis: Basis, known: Rows, pool: Rows, count: int, coefficients: FloatArray | None = None
) -> IntArray:
    """Choose rows of a pool, the most telling first.

    Args:
        basis: Terms and quantities of the rows.
        known: Measured already, [m, columns]; may be empty.
        pool: To choose from, [n, columns]; also what predictions are wanted of.
        count: How many, at most n.
        coefficients: Of the terms, float64[terms]; None before the first fit.

    Returns:
        Positions in the pool, int[count].
    """
    rows = np.concatenate([pool, known]) if len(known) else pool
    covariance = _covariance(basis, rows, coefficients)
    wanted = np.arange(len(pool))
    for position in range(len(pool), len(rows)):
        covariance = _measured(covariance, position)
    chosen: list[int] = []
    for _ in range(min(count, len(pool))):
        among = covariance[:, : len(pool)]
        gains = np.mean(among[wanted] ** 2, axis=0) / (np.diag(covariance)[: len(pool)] + _NOISE**2)
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))
        covariance = _measured(covariance, chosen[-1])
    return np.array(chosen, dtype=np.int64)


def _measured(covariance: FloatArray, position: int) -> FloatArray:
    """The covariance that remains when this row is measured."""
    column = covariance[:, position]
    return np.asarray(covariance - np.outer(column, column) / (column[position] + _NOISE**2))


def _covariance(basis: Basis, rows: Rows, coefficients: FloatArray | None) -> FloatArray:
    amounts = basis.amounts(rows)
    shares = amounts * _typical_coefficients(amounts, coefficients)
    shares /= shares.sum(axis=1, keepdims=True)
    linear = _COEFFICIENT_DOUBT**2 * (shares @ shares.T)
    curves = curve_correlation(basis, basis.columns_of(rows), _CURVE_WIDTH)
    return np.asarray(linear + _CURVE_DOUBT**2 * curves)


def _typical_coefficients(amounts: FloatArray, coefficients: FloatArray | None) -> FloatArray:
    """Coefficients at which no term is free: one that seems so may only not have been told yet."""
    typical = 1 / np.maximum(amounts.mean(axis=0), np.finfo(float).tiny)
    if coefficients is None:
        return np.asarray(typical)
    total = float(np.mean(amounts @ coefficients))
    return np.asarray(np.maximum(coefficients, 0.02 * total * typical))
