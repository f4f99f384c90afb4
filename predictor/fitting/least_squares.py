"""The physics: non-negative seconds for each unit of work, by robust relative least squares."""

from __future__ import annotations

import numpy as np

from atb.predictor.fitting.basis import FloatArray

#: Below this relative spread not the measurement but the model's own misfit decides, so that a
#: few very precise rows must not rule the fit.
LEAST_SPREAD = 0.01
#: Huber's constant: 95 % of the efficiency of plain least squares when nothing is an outlier.
HUBER = 1.345
_MOST_ROUNDS = 30
_MAD_TO_DEVIATION = 1.4826  # for normally distributed values
_TINY = 1e-12
#: Relative, of any prediction between two rounds: below it no measurement tells them apart.
_SMALLEST_CHANGE = 1e-5


def relative_spreads(seconds: FloatArray, half_widths: FloatArray) -> FloatArray:
    """Expected error of each row relative to the others; about 1, never far below.

    Args:
        seconds: Latency of each row, float64[n].
        half_widths: Half widths of their intervals in seconds, float64[n].

    Returns:
        float64[n] with a median of 1.
    """
    spreads = np.hypot(LEAST_SPREAD, half_widths / seconds)
    return np.asarray(spreads / np.median(spreads))


def robust_scale(values: FloatArray) -> float:
    """Standard deviation around zero that a few outliers do not move."""
    return max(_MAD_TO_DEVIATION * float(np.median(np.abs(values))), _TINY)


def _reduced(design: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same least-squares problem in no more rows than columns."""
    if len(design) <= design.shape[1] + 1:
        return design, target
    triangle = np.asarray(np.linalg.qr(np.column_stack([design, target]), mode="r"))
    return triangle[:, :-1], triangle[:, -1]


def fit_coefficients(amounts: FloatArray, seconds: FloatArray, spreads: FloatArray) -> FloatArray:
    """Seconds for each unit of work, none negative.

    Minimises Huber's loss of the relative errors by iteratively reweighted non-negative least
    squares. Errors are relative to the fit of the round before: relative to the measurement they
    would favour rows that were measured too fast.

    Args:
        amounts: Amount of each work term, float64[n, terms].
        seconds: Latency of each row, float64[n].
        spreads: Relative spread of each row, float64[n].

    Returns:
        float64[terms].
    """
    from scipy.optimize import nnls

    reference = seconds
    weights = 1 / spreads
    for _ in range(_MOST_ROUNDS):
        scale = weights / reference
        design = amounts * scale[:, None]
        norms = np.maximum(np.linalg.norm(design, axis=0), _TINY)
        solution, _ = nnls(*_reduced(design / norms, seconds * scale))
        coefficients = solution / norms
        before, reference = reference, np.maximum(amounts @ coefficients, _TINY)
        errors = (seconds / reference - 1) / spreads
        sizes = np.abs(errors) / (HUBER * robust_scale(errors))
        weights = 1 / (spreads * np.sqrt(np.maximum(sizes, 1)))
        if np.max(np.abs(reference / before - 1)) < _SMALLEST_CHANGE:
            break
    return np.asarray(coefficients)
