"""From a training set to a predictor: prices, residual where it helps, intervals."""

from __future__ import annotations

import math

import numpy as np
from threadpoolctl import threadpool_limits

from atb.errors import InputError
from atb.predictor.features import FloatArray, columns_of, work_amounts
from atb.predictor.least_squares import fit_prices, relative_spreads
from atb.predictor.predictor import Support, TrainingSummary, WorkPredictor
from atb.predictor.residual import Residual, fit_residual
from atb.predictor.training_set import LEAST_ROWS, TrainingSet

__all__ = ["DEFAULT_COVERAGE", "fit", "held_out_seconds"]

DEFAULT_COVERAGE = 0.9
_FOLDS = 10
_INNER_FOLDS = 5
#: Fewer rows cannot show that a residual helps.
_LEAST_RESIDUAL_ROWS = 30
_LEAST_GAIN = 2e-4  # relative; a smaller one is not worth a table
#: Half a standard error: taken wrongly a residual does little harm, since its own likelihood
#: shrinks it, and left out wrongly it costs much.
_LEAST_STANDARD_ERRORS = 0.5


def fit(
    training_set: TrainingSet, rng: np.random.Generator, *, coverage: float = DEFAULT_COVERAGE
) -> WorkPredictor:
    """Fit a predictor.

    The interval is cross-conformal: its factor is the quantile, corrected for the finite number
    of rows, of the relative errors on rows that are held out in turn. Whether the residual is
    used is decided anew within each of these folds, so the errors are those of the whole recipe.

    Args:
        training_set: Measurements under one set of conditions.
        rng: Splits the folds.
        coverage: Share of new measurements that the interval is to contain.

    Raises:
        InputError: There are too few rows.
    """
    training_set.require_rows(LEAST_ROWS)
    _require_coverage(coverage, len(training_set))
    prices, residual = _fit_parts(training_set, rng)
    held_out = np.log(training_set.seconds / held_out_seconds(training_set, rng))
    return WorkPredictor(
        conditions=training_set.conditions,
        prices=prices,
        residual=residual,
        coverage=coverage,
        interval_factor=math.exp(_conformal_quantile(np.abs(held_out), coverage)),
        support=Support.of(training_set.rows),
        summary=TrainingSummary(
            rows=len(training_set),
            excluded=training_set.excluded,
            campaigns=training_set.campaigns,
            noise=float(np.median(training_set.half_widths / training_set.seconds)),
            cross_validated_mape=float(np.mean(np.abs(np.expm1(-held_out)))),
        ),
    )


def held_out_seconds(training_set: TrainingSet, rng: np.random.Generator) -> FloatArray:
    """Predict each row by a fit that has not seen its architecture, in ten folds.

    Returns:
        Seconds, float64[n], in the order of the rows.
    """
    predicted = np.empty(len(training_set))
    for fold in training_set.folds(_FOLDS, rng):
        rest = np.setdiff1d(np.arange(len(training_set)), fold)
        parts = _fit_parts(training_set.take(rest), rng)
        tested = training_set.take(fold)
        predicted[fold] = tested.seconds / np.exp(_log_ratios(tested, *parts))
    return predicted


def _require_coverage(coverage: float, rows: int) -> None:
    if not 0 < coverage < 1:
        raise InputError(f"A coverage of {coverage} is impossible: give one such as 0.9.")
    if _rank(coverage, rows) > rows:
        raise InputError(
            f"{rows} rows cannot carry intervals of coverage {coverage}: "
            "measure more, or ask for less coverage."
        )


def _rank(coverage: float, rows: int) -> int:
    """Which of the ascending held-out errors bounds a new one with this probability."""
    return math.ceil(round(coverage * (rows + 1), 9))


def _conformal_quantile(errors: FloatArray, coverage: float) -> float:
    return float(np.sort(errors)[_rank(coverage, len(errors)) - 1])


def _fit_parts(
    training_set: TrainingSet, rng: np.random.Generator
) -> tuple[FloatArray, Residual | None]:
    """Prices, and a residual if rows held out say that it helps."""
    # matrices of this size gain nothing from threads, and lose forty-fold where cores are busy
    with threadpool_limits(limits=1, user_api="blas"):
        prices, residual = _fit_both(training_set, rng)
        return prices, residual if _residual_helps(training_set, rng) else None


def _fit_both(training_set: TrainingSet, rng: np.random.Generator) -> tuple[FloatArray, Residual]:
    amounts = work_amounts(training_set.rows, training_set.conditions.settings)
    spreads = relative_spreads(training_set.seconds, training_set.half_widths)
    prices = fit_prices(amounts, training_set.seconds, spreads)
    ratios = _log_ratios(training_set, prices, None)
    return prices, fit_residual(training_set.rows, ratios, spreads, rng)


def _log_ratios(
    training_set: TrainingSet, prices: FloatArray, residual: Residual | None
) -> FloatArray:
    """Logarithm of measured over predicted, float64[n]."""
    predicted = work_amounts(training_set.rows, training_set.conditions.settings) @ prices
    if residual is not None:
        predicted = predicted * residual.factor(columns_of(training_set.rows))
    return np.asarray(np.log(training_set.seconds / predicted))


def _residual_helps(training_set: TrainingSet, rng: np.random.Generator) -> bool:
    """Whether it lowers the error on rows held out, beyond what is due to chance."""
    if len(training_set) < _LEAST_RESIDUAL_ROWS:
        return False
    gains = np.empty(len(training_set))
    for fold in training_set.folds(_INNER_FOLDS, rng):
        rest = np.setdiff1d(np.arange(len(training_set)), fold)
        prices, residual = _fit_both(training_set.take(rest), rng)
        tested = training_set.take(fold)
        without = np.abs(_log_ratios(tested, prices, None))
        gains[fold] = without - np.abs(_log_ratios(tested, prices, residual))
    chance = float(np.std(gains)) / math.sqrt(len(gains))
    return float(np.mean(gains)) > max(_LEAST_GAIN, _LEAST_STANDARD_ERRORS * chance)
