"""From the measurements of a device to its latency predictor."""

from __future__ import annotations

import numpy as np

from atb.predictor.fitting import (
    DEFAULT_COVERAGE,
    FloatArray,
    WorkModel,
    architecture_basis,
    bases_of,
    fit_model,
    predict_held_out,
)
from atb.predictor.predictor import WorkPredictor
from atb.predictor.summary import TrainingSummary
from atb.predictor.targets import FURTHER_TARGETS
from atb.predictor.training_set import LEAST_ROWS, TrainingSet


def fit(
    training_set: TrainingSet, rng: np.random.Generator, *, coverage: float = DEFAULT_COVERAGE
) -> WorkPredictor:
    """Fit a predictor of latencies.

    Args:
        training_set: Measurements under one set of conditions.
        rng: Generator that splits rows into folds.
        coverage: Share of new measurements that the interval is to contain.

    Raises:
        InputError: There are too few rows.
    """
    return fit_judged(training_set, rng, coverage=coverage)[0]


def fit_judged(
    training_set: TrainingSet, rng: np.random.Generator, *, coverage: float = DEFAULT_COVERAGE
) -> tuple[WorkPredictor, FloatArray]:
    """Fit as `fit` does, and predict each row by a fit without it, in seconds, float64[n].

    Raises:
        InputError: There are too few rows.
    """
    training_set.require_rows(LEAST_ROWS)
    bases = bases_of(architecture_basis(training_set.conditions.settings))
    fitted = fit_model(bases, training_set.observations, rng, coverage=coverage)
    predictor = WorkPredictor(
        conditions=training_set.conditions,
        model=fitted.model,
        summary=TrainingSummary.of([training_set], fitted.held_out / training_set.seconds - 1),
        further=_fit_further(training_set, rng, coverage),
    )
    return predictor, fitted.held_out


def _fit_further(
    training_set: TrainingSet, rng: np.random.Generator, coverage: float
) -> dict[str, WorkModel]:
    """Models of what else was told of enough architectures."""
    found = {}
    for target in FURTHER_TARGETS:
        if target.name not in training_set.further:
            continue
        observed = training_set.further_observations(target.name)
        if len(observed) and len(np.unique(observed.rows, axis=0)) >= LEAST_ROWS:
            basis = target.basis(training_set.conditions.settings)
            fitted = fit_model([basis], observed, rng, coverage=coverage, may_bend=False)
            found[target.name] = fitted.model
    return found


def held_out_seconds(training_set: TrainingSet, rng: np.random.Generator) -> FloatArray:
    """Predict each row by a fit that has not seen its architecture, in ten folds.

    Returns:
        Seconds, float64[n], in the order of the rows.
    """
    bases = bases_of(architecture_basis(training_set.conditions.settings))
    return predict_held_out(bases, training_set.observations, rng)
