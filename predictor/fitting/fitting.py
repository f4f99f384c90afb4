"""From observations to a model: basis, coefficients, drift, residual where it helps, intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from atb.errors import InputError
from atb.predictor.fitting.basis import Basis, FloatArray, Observations
from atb.predictor.fitting.drift import Drift, fit_drift
from atb.predictor.fitting.intervals import Support, conformal_rank, interval_factor
from atb.predictor.fitting.least_squares import fit_coefficients, relative_spreads
from atb.predictor.fitting.model import WorkModel
from atb.predictor.fitting.residual import Residual, fit_residual

DEFAULT_COVERAGE = 0.9
_FOLDS = 10
_INNER_FOLDS = 5
#: Fewer rows cannot show that a residual helps.
_LEAST_RESIDUAL_ROWS = 30
#: From so many on, a decision by all rows is hardly another than one by nine tenths of them.
_LEAST_DECIDED_ROWS = 200
_LEAST_GAIN = 2e-4  # relative; a smaller one is not worth a table
#: Half a standard error: taken wrongly a residual does little harm, since its own likelihood
#: shrinks it, and left out wrongly it costs much.
_LEAST_STANDARD_ERRORS = 0.5
#: Coefficients and drift are fitted in turn until they no longer move; they hardly do after two.
_DRIFT_ROUNDS = 2
_RESIDUAL_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A model, and how it did on rows that were held out.

    Attributes:
        model: The model fitted on all rows.
        held_out: Prediction of each row by a fit without it, float64[n], at the device's level.
        held_out_timed: The same with the drift at the row's time; equal where there is none.
    """

    model: WorkModel
    held_out: FloatArray
    held_out_timed: FloatArray


def fit_model(
    bases: Sequence[Basis],
    observed: Observations,
    rng: np.random.Generator,
    *,
    coverage: float = DEFAULT_COVERAGE,
    may_bend: bool = True,
) -> FittedModel:
    """Fit a model of any rows.

    The interval is cross-conformal: its factor is the quantile, corrected for the finite number
    of rows, of the relative errors on rows that are held out in turn. Which basis is used, and
    whether a residual is, is decided anew within each of these folds, so the errors are those of
    the whole recipe; of many rows it is decided once.

    Args:
        bases: From the plainest to the richest; the plainest of those that predict rows held out
            as well as any is used.
        observed: At least as many different rows as the coverage needs.
        rng: Generator that splits rows into folds.
        coverage: Share of new measurements that the interval is to contain.
        may_bend: Whether there may be a residual.

    Raises:
        InputError: There are too few rows for this coverage.
    """
    _require_coverage(coverage, len(observed))
    # matrices of this size gain nothing from threads, and lose forty-fold where cores are busy
    with threadpool_limits(limits=1, user_api="blas"):
        choose = partial(_choose_form, bases, rng=rng, may_bend=may_bend)
        form = choose(observed)
        parts = _fit_parts(form, observed, rng)
        is_decided = len(observed) >= _LEAST_DECIDED_ROWS
        held_out, timed = _held_out((lambda _: form) if is_decided else choose, observed, rng)
    errors, timed_errors = (np.abs(np.log(observed.values / found)) for found in (held_out, timed))
    model = WorkModel(
        basis=form.basis,
        coefficients=parts.coefficients,
        residual=parts.residual,
        drift=parts.drift,
        coverage=coverage,
        interval_factor=interval_factor(errors, coverage),
        timed_interval_factor=interval_factor(timed_errors, coverage),
        support=Support.of(form.basis, observed.rows),
    )
    return FittedModel(model, held_out, timed)


def predict_held_out(
    bases: Sequence[Basis], observed: Observations, rng: np.random.Generator
) -> FloatArray:
    """Predict each row by a fit that has not seen it, in ten folds.

    Returns:
        In the unit of the observed values, float64[n], in the order of the rows.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _held_out(partial(_choose_form, bases, rng=rng, may_bend=True), observed, rng)[0]


@dataclass(frozen=True, slots=True)
class _Form:
    """The form of a fit: its basis, and whether it has a residual."""

    basis: Basis
    bends: bool


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that is fitted on some rows."""

    basis: Basis
    coefficients: FloatArray
    residual: Residual | None
    drift: Drift | None

    def level(self, observed: Observations) -> FloatArray:
        """The device at its level, float64[n]."""
        found = self.basis.amounts(observed.rows) @ self.coefficients
        if self.residual is not None:
            found = found * self.residual.factor(self.basis.columns_of(observed.rows))
        return np.asarray(found)

    def drifted(self, observed: Observations) -> FloatArray:
        """Factor of the drift at each row, float64[n]."""
        if self.drift is None or observed.order is None:
            return np.ones(len(observed))
        return self.drift.at(observed.order)

    def log_ratios(self, observed: Observations) -> FloatArray:
        """Logarithm of measured over estimated at the row's time, float64[n]."""
        return np.asarray(np.log(observed.values / self.level(observed) / self.drifted(observed)))


def _held_out(
    choose: Callable[[Observations], _Form], observed: Observations, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Each row by a fit that has not seen it: at the device's level, and at the row's time."""
    level, timed = np.empty(len(observed)), np.empty(len(observed))
    for fold, known, tested in observed.splits(_FOLDS, rng):
        parts = _fit_parts(choose(known), known, rng)
        level[fold] = parts.level(tested)
        timed[fold] = level[fold] * parts.drifted(tested)
    return level, timed


def _require_coverage(coverage: float, rows: int) -> None:
    if not 0 < coverage < 1:
        raise InputError(f"A coverage of {coverage} is impossible: give one such as 0.9.")
    if conformal_rank(coverage, rows) > rows:
        raise InputError(
            f"{rows} rows cannot carry intervals of coverage {coverage}: "
            "measure more, or ask for less coverage."
        )


def _choose_form(
    bases: Sequence[Basis], observed: Observations, rng: np.random.Generator, *, may_bend: bool
) -> _Form:
    """Choose basis and residual by the error on rows held out within these."""
    basis = _choose_basis(bases, observed, rng)
    return _Form(basis, may_bend and _residual_helps(basis, observed, rng))


def _choose_basis(
    bases: Sequence[Basis], observed: Observations, rng: np.random.Generator
) -> Basis:
    """The plainest whose error on rows held out is no worse than the best's, but for chance."""
    if len(bases) == 1:
        return bases[0]
    splits = observed.splits(_INNER_FOLDS, rng)
    errors = np.empty((len(bases), len(observed)))
    for i, basis in enumerate(bases):
        for fold, known, tested in splits:
            parts = _fit_coefficients_and_drift(basis, known)
            errors[i, fold] = np.abs(parts.log_ratios(tested))
    best = int(np.argmin(errors.mean(axis=1)))
    for i, basis in enumerate(bases):
        worse = errors[i] - errors[best]
        chance = worse.std() / math.sqrt(len(worse))
        if worse.mean() <= max(_LEAST_GAIN, _LEAST_STANDARD_ERRORS * chance):
            return basis
    return bases[best]


def _fit_parts(form: _Form, observed: Observations, rng: np.random.Generator) -> _Parts:
    """Coefficients and drift, and a residual if it bends."""
    plain = _fit_coefficients_and_drift(form.basis, observed)
    return _with_residual(plain, observed, rng) if form.bends else plain


def _fit_coefficients_and_drift(basis: Basis, observed: Observations) -> _Parts:
    amounts = basis.amounts(observed.rows)
    spreads = relative_spreads(observed.values, observed.half_widths)
    parts = _Parts(basis, fit_coefficients(amounts, observed.values, spreads), None, None)
    if observed.order is None:
        return parts
    for _ in range(_DRIFT_ROUNDS):
        ratios = np.log(observed.values / parts.level(observed))
        drift = fit_drift(observed.order, ratios, spreads)
        if drift is None:
            break
        undrifted = observed.values / drift.at(observed.order)
        parts = _Parts(basis, fit_coefficients(amounts, undrifted, spreads), None, drift)
    return parts


def _with_residual(
    plain: _Parts, observed: Observations, rng: np.random.Generator, rounds: int = _RESIDUAL_ROUNDS
) -> _Parts:
    """Coefficients and factor in turn: a factor as large as that of threads moves both."""
    amounts = plain.basis.amounts(observed.rows)
    columns = plain.basis.columns_of(observed.rows)
    spreads = relative_spreads(observed.values, observed.half_widths)
    undrifted = observed.values / plain.drifted(observed)
    coefficients, residual = plain.coefficients, None
    for _ in range(rounds):
        if residual is not None:
            coefficients = fit_coefficients(amounts, undrifted / residual.factor(columns), spreads)
        ratios = np.log(undrifted / (amounts @ coefficients))
        residual = fit_residual(plain.basis, observed.rows, ratios, spreads, rng)
    return _Parts(plain.basis, coefficients, residual, plain.drift)


def _residual_helps(basis: Basis, observed: Observations, rng: np.random.Generator) -> bool:
    """Whether a residual lowers the error on rows held out, beyond what is due to chance."""
    if len(observed) < _LEAST_RESIDUAL_ROWS:
        return False
    gains = np.empty(len(observed))
    for fold, known, tested in observed.splits(_INNER_FOLDS, rng):
        plain = _fit_coefficients_and_drift(basis, known)
        bent = _with_residual(plain, known, rng, rounds=1)  # a single round tells whether it helps
        gains[fold] = np.abs(plain.log_ratios(tested)) - np.abs(bent.log_ratios(tested))
    chance = float(np.std(gains)) / math.sqrt(len(gains))
    return float(np.mean(gains)) > max(_LEAST_GAIN, _LEAST_STANDARD_ERRORS * chance)
