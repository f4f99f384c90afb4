"""A new device from a few measurements, by what is known of others.

Devices differ in what a unit of each kind of work costs, but much alike: one that multiplies twice
as fast also moves data faster. So the prices of a known device, scaled to the new one, are where
the fit begins, and a few measurements move each price by as much as they say (a maximum a
posteriori estimate with a prior around the scaled prices; hierarchical regression as in Gelman and
Hill, 2007). Which device to begin from and how firmly to hold to it is told by leaving out each
measurement.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atb.errors import InputError
from atb.predictor.basis import Basis, FloatArray
from atb.predictor.features import architecture_basis
from atb.predictor.least_squares import relative_spreads, robust_scale
from atb.predictor.model import WorkModel
from atb.predictor.observations import Observations
from atb.predictor.predictor import TrainingSummary, WorkPredictor
from atb.predictor.support import Support
from atb.predictor.training_set import TrainingSet

__all__ = ["LEAST_SAMPLES", "Transferred", "transfer_model", "transfer_predictor"]

#: Fewer say less than a guess.
LEAST_SAMPLES = 3
#: How far a price may differ from the scaled one, as a standard deviation of its share.
_DOUBTS = (0.03, 0.1, 0.3, 1.0, 3.0)
#: Standard deviation of a measurement, as a share: beside it a doubt is large or small.
_NOISE = 0.02
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Transferred:
    """A model of a new device.

    Attributes:
        model: Usable as any other.
        source: Position of the known model from which it began; None for the mean of all.
        doubt: How far prices were let go from it.
        held_out: What it says of each measurement when that one is left out, float64[n].
    """

    model: WorkModel
    source: int | None
    doubt: float
    held_out: FloatArray


def transfer_predictor(
    known: Sequence[WorkPredictor], training_set: TrainingSet, *, coverage: float
) -> tuple[WorkPredictor, int | None]:
    """Fit a predictor of a new device's latencies.

    Args:
        known: Of other devices or conditions.
        training_set: A few measurements under the new conditions.
        coverage: Share of new measurements that the interval is to contain.

    Returns:
        The predictor, and which of the known ones it began from; None for the mean of all.

    Raises:
        InputError: There are too few measurements.
    """
    basis = architecture_basis(training_set.conditions.settings)
    sources = [predictor.model for predictor in known]
    found = transfer_model(sources, basis, training_set.observations, coverage=coverage)
    seconds = training_set.seconds
    summary = TrainingSummary(
        rows=len(training_set),
        excluded=training_set.excluded,
        campaigns=training_set.campaigns,
        noise=float(np.median(training_set.half_widths / seconds)),
        cross_validated_mape=float(np.mean(np.abs(found.held_out / seconds - 1))),
    )
    return WorkPredictor(training_set.conditions, found.model, summary), found.source


def transfer_model(
    sources: Sequence[WorkModel],
    basis: Basis,
    observed: Observations,
    *,
    coverage: float,
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
    priors: list[tuple[int | None, FloatArray]] = [
        *enumerate(_normalised(s.prices, basis, observed) for s in sources)
    ]
    if len(sources) > 1:
        priors.append((None, np.mean([prices for _, prices in priors], axis=0)))
    amounts = basis.amounts(observed.rows)
    spreads = relative_spreads(observed.values, observed.half_widths)
    best: tuple[float, int | None, FloatArray, float, FloatArray] | None = None
    for (source, prior), doubt in itertools.product(priors, _DOUBTS):
        held_out = _leave_one_out(amounts, observed.values, spreads, prior, doubt)
        score = float(np.mean(np.abs(np.log(observed.values / held_out))))
        if best is None or score < best[0]:
            best = score, source, prior, doubt, held_out
    assert best is not None
    _, source, prior, doubt, held_out = best
    factor = _interval_factor(np.abs(np.log(observed.values / held_out)), coverage)
    model = WorkModel(
        basis=basis,
        prices=_fit(amounts, observed.values, spreads, prior, doubt),
        residual=None,
        drift=None,
        coverage=coverage,
        interval_factor=factor,
        timed_interval_factor=factor,
        support=_union([*(s.support for s in sources), Support.of(basis, observed.rows)]),
    )
    return Transferred(model, source, doubt, held_out)


def _normalised(prices: FloatArray, basis: Basis, observed: Observations) -> FloatArray:
    """Prices at which the known device takes as long as the new one, at the median."""
    known = basis.amounts(observed.rows) @ prices
    return np.asarray(prices * math.exp(float(np.median(np.log(observed.values / known)))))


def _fit(
    amounts: FloatArray,
    values: FloatArray,
    spreads: FloatArray,
    prior: FloatArray,
    doubt: float,
) -> FloatArray:
    """Prices near the prior that explain the values, none negative, float64[terms]."""
    from scipy.optimize import nnls

    # a term that was free there may cost something here: about what the others cost on average
    free = prior * amounts.mean(axis=0)
    typical = np.where(
        prior > 0, prior, 0.02 * free.sum() / np.maximum(amounts.mean(axis=0), 1e-300)
    )
    weights = 1 / spreads
    prices = prior
    for _ in range(_ROUNDS):
        scale = weights / (amounts @ prices) / _NOISE
        # in units of the typical price, so that the problem is well scaled
        design = np.vstack([amounts * typical * scale[:, None], np.eye(len(prior)) / doubt])
        target = np.concatenate([values * scale, prior / typical / doubt])
        prices = nnls(design, target)[0] * typical
        errors = (values / np.maximum(amounts @ prices, 1e-300) - 1) / spreads
        sizes = np.abs(errors) / (2 * max(robust_scale(errors), _NOISE / 4))
        weights = 1 / (spreads * np.sqrt(np.maximum(sizes, 1)))
    return np.asarray(prices)


def _leave_one_out(
    amounts: FloatArray,
    values: FloatArray,
    spreads: FloatArray,
    prior: FloatArray,
    doubt: float,
) -> FloatArray:
    found = np.empty(len(values))
    for i in range(len(values)):
        rest = np.arange(len(values)) != i
        rescaled = prior * math.exp(
            float(np.median(np.log(values[rest] / (amounts[rest] @ prior))))
        )
        found[i] = amounts[i] @ _fit(amounts[rest], values[rest], spreads[rest], rescaled, doubt)
    return found


def _interval_factor(errors: FloatArray, coverage: float) -> float:
    """The conformal quantile; of too few rows a normal one with Student's widening."""
    from scipy.special import stdtrit

    rank = math.ceil(round(coverage * (len(errors) + 1), 9))
    if rank <= len(errors):
        return math.exp(float(np.sort(errors)[rank - 1]))
    deviation = float(np.sqrt(np.mean(errors**2)))
    return math.exp(deviation * float(stdtrit(len(errors) - 1, (1 + coverage) / 2)))


def _union(supports: Sequence[Support]) -> Support:
    """What any of the devices has seen: there the prices are known to add up."""
    return Support(
        np.min([support.low for support in supports], axis=0),
        np.max([support.high for support in supports], axis=0),
    )
