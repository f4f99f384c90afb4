"""A new device from a few measurements, by what is known of others.

Devices differ in what a unit of each kind of work costs, but much alike: one that multiplies twice
as fast also moves data faster. So the logarithm of each coefficient on a new device is taken as
normal around that of known devices, scaled to the new one: what it varies by is how the known
devices differ among each other, times a factor, and a doubt of each coefficient alone. Measurements
then move the coefficients by as much as they say (hierarchical regression, as in Gelman and Hill,
2007, chapters 11 to 13). Which device to begin from, how firmly to hold to it and how noisy
measurements are is not chosen but averaged over, weighted by how likely each makes the measurements
(Hoeting et al., 1999, Bayesian model averaging).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from atb.errors import InputError
from atb.predictor.fitting import (
    Basis,
    FloatArray,
    Observations,
    Support,
    WorkModel,
    architecture_basis,
    interval_factor,
    relative_spreads,
    robust_scale,
)
from atb.predictor.predictor import WorkPredictor
from atb.predictor.summary import TrainingSummary
from atb.predictor.training_set import TrainingSet

#: Fewer say less than a guess.
LEAST_SAMPLES = 3
#: What is averaged over: the doubt of each coefficient alone, the factor on how known devices
#: differ, and the noise of a measurement; standard deviations as shares.
_DOUBTS = (0.01, 0.03, 0.1, 0.3, 1.0)
_FACTORS = (0.5, 1.0, 2.0)
_NOISES = (0.005, 0.01, 0.02, 0.04, 0.08)
#: Doubt of the scale, which the median of the measurements already tells roughly.
_SCALE_DOUBT = 0.2
#: A term that is free on the known devices is taken to cost this share here, more or less.
_FREE_SHARE = 0.01
#: Robust standard deviations from which on a measurement loses its say, in so many rounds.
_OUTLIER, _ROUNDS = 1.5, 3


@dataclass(frozen=True, slots=True)
class Transferred:
    """A model of a new device.

    Attributes:
        model: Model of the new device's latencies.
        weights: How much each source tells of the new device, in all 1, float64[sources]; where
            there are several, the last stands for all of them together.
        held_out: What it says of each measurement when that one is left out, float64[n].
    """

    model: WorkModel
    weights: FloatArray
    held_out: FloatArray


def transfer_predictor(
    known: Sequence[WorkPredictor], training_set: TrainingSet, *, coverage: float
) -> tuple[WorkPredictor, FloatArray]:
    """Fit a predictor of a new device's latencies.

    Args:
        known: Predictors of other devices or conditions.
        training_set: A few measurements under the new conditions.
        coverage: Share of new measurements that the interval is to contain.

    Returns:
        The predictor, and `Transferred.weights`.

    Raises:
        InputError: There are too few measurements.
    """
    basis = architecture_basis(training_set.conditions.settings)
    sources = [predictor.model for predictor in known]
    found = transfer_model(sources, basis, training_set.observations, coverage=coverage)
    summary = TrainingSummary.of([training_set], found.held_out / training_set.seconds - 1)
    return WorkPredictor(training_set.conditions, found.model, summary), found.weights


def transfer_model(
    sources: Sequence[WorkModel], basis: Basis, observed: Observations, *, coverage: float
) -> Transferred:
    """Fit a model of a new device.

    Args:
        sources: Models of known devices with terms of the same names.
        basis: Of the new device's rows.
        observed: A few measurements on the new device.
        coverage: Share of new measurements that the interval is to contain.

    Raises:
        InputError: There are too few measurements, or a source has other terms.
    """
    if len(observed) < LEAST_SAMPLES:
        raise InputError(
            f"{len(observed)} measurements of the new device came and {LEAST_SAMPLES} are needed: "
            "measure more with --samples."
        )
    names = [term.name for term in basis.terms]
    if not sources or any([t.name for t in s.basis.terms] != names for s in sources):
        raise InputError("The known predictors have other work terms: fit them anew.")
    from scipy.special import softmax

    amounts = basis.amounts(observed.rows)
    own = spreads = relative_spreads(observed.values, observed.half_widths)
    for _ in range(_ROUNDS):
        beliefs = [
            _believe(amounts, observed.values, spreads, prior, noise)
            for prior in _priors([s.coefficients for s in sources], amounts, observed.values)
            for noise in _NOISES
        ]
        weights = softmax([belief.evidence for belief in beliefs])
        left_out = np.tensordot(weights, [belief.left_out for belief in beliefs], axes=1)
        spreads = own * np.maximum(np.abs(left_out) / (_OUTLIER * robust_scale(left_out)), 1) ** 2
    coefficients = np.tensordot(weights, [belief.coefficients for belief in beliefs], axes=1)
    # coefficients kept from below zero and slow moments of the device raise the level: its middle
    coefficients = _scaled(coefficients, amounts, observed.values)
    factor = interval_factor(np.abs(left_out), coverage)
    model = WorkModel(
        basis=basis,
        coefficients=coefficients,
        residual=None,
        drift=None,
        coverage=coverage,
        interval_factor=factor,
        timed_interval_factor=factor,
        support=_union([*(s.support for s in sources), Support.of(basis, observed.rows)]),
    )
    told = np.zeros(max(belief.source for belief in beliefs) + 1)
    np.add.at(told, [belief.source for belief in beliefs], weights)
    return Transferred(model, told, np.asarray(observed.values * np.exp(-left_out)))


@dataclass(frozen=True, slots=True)
class _Prior:
    """Distribution of the coefficients before anything is measured."""

    source: int  # position of the known device, or how many there are for all together
    coefficients: FloatArray  # scaled to the new device, float64[terms], none zero
    free: FloatArray  # of terms that cost nothing on the known device, bool[terms]
    directions: FloatArray  # how known devices differ, as shares of coefficients, [k, terms]
    doubt: float  # of each coefficient alone, as a share


@dataclass(frozen=True, slots=True)
class _Belief:
    """Distribution of the coefficients after the measurements."""

    source: int  # that of the prior
    evidence: float  # logarithm of how likely the prior makes the measurements
    coefficients: FloatArray  # float64[terms], none negative
    left_out: FloatArray  # logarithm of each measurement over what the others say of it, [n]


def _priors(
    known: Sequence[FloatArray], amounts: FloatArray, values: FloatArray
) -> Iterator[_Prior]:
    scaled = [_scaled(coefficients, amounts, values) for coefficients in known]
    none = np.zeros((0, amounts.shape[1]))
    for (source, coefficients), doubt in itertools.product(enumerate(scaled), _DOUBTS):
        yield _Prior(source, *_none_free(coefficients, amounts), none, doubt)
    if len(known) > 1:
        mean, free = _none_free(np.mean(scaled, axis=0), amounts)
        differences = (np.array(scaled) - mean) / mean / math.sqrt(len(known) - 1)
        for factor, doubt in itertools.product(_FACTORS, _DOUBTS):
            yield _Prior(len(known), mean, free, factor * differences, doubt)


def _scaled(coefficients: FloatArray, amounts: FloatArray, values: FloatArray) -> FloatArray:
    """Coefficients at which what is predicted is as long as what was measured, at the median."""
    return np.asarray(
        coefficients * math.exp(float(np.median(np.log(values / (amounts @ coefficients)))))
    )


def _none_free(coefficients: FloatArray, amounts: FloatArray) -> tuple[FloatArray, FloatArray]:
    means = np.maximum(amounts.mean(axis=0), np.finfo(float).tiny)
    small = _FREE_SHARE * float(coefficients @ means) / means
    return np.where(coefficients > 0, coefficients, small), np.asarray(coefficients <= 0)


def _believe(
    amounts: FloatArray, values: FloatArray, spreads: FloatArray, prior: _Prior, noise: float
) -> _Belief:
    """Condition the prior on the measurements: all is Gaussian in shares of what is expected."""
    start = np.where(prior.free, 0.0, prior.coefficients)
    expected = amounts @ start
    shares = amounts * prior.coefficients / expected[:, None]
    errors = np.log(values / expected)
    # columns: each coefficient alone, the ways in which devices differ, the scale
    effects = np.hstack(
        [prior.doubt * shares, shares @ prior.directions.T, np.full((len(values), 1), _SCALE_DOUBT)]
    )
    covariance = effects @ effects.T + np.diag((noise * spreads) ** 2)
    inverse = np.linalg.inv(covariance)
    weighted = inverse @ errors
    evidence = -0.5 * (errors @ weighted + float(np.linalg.slogdet(covariance)[1]))
    found = effects.T @ weighted
    terms = len(prior.coefficients)
    change = prior.doubt * found[:terms] + found[terms:-1] @ prior.directions
    coefficients = np.maximum(
        (start + prior.coefficients * change) * math.exp(_SCALE_DOUBT * found[-1]), 0
    )
    left_out = np.asarray(weighted / np.diag(inverse))
    return _Belief(prior.source, float(evidence), coefficients, left_out)


def _union(supports: Sequence[Support]) -> Support:
    """The range of all devices together: there the work terms are known to add up."""
    return Support(
        np.min([support.low for support in supports], axis=0),
        np.max([support.high for support in supports], axis=0),
    )
