"""One predictor for many settings: lengths and batches are work, threads have coefficients.

Under settings that differ only in batch and sequence length a unit of work costs the same, but for
what bends with them; so they are two more columns of a row. Threads, precision and the rest are
modes with coefficients of their own; a mode with few measurements begins from those of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from atb.devices import RunSettings
from atb.errors import InputError
from atb.predictor.fitting import (
    DEFAULT_COVERAGE,
    QUANTITIES,
    WORK_TERMS,
    Basis,
    FittedModel,
    FloatArray,
    Observations,
    Quantity,
    Residual,
    Rows,
    Support,
    Term,
    WorkModel,
    WorkTerm,
    architecture_basis,
    bases_of,
    fit_model,
)
from atb.predictor.predictor import WorkPredictor
from atb.predictor.summary import TrainingSummary
from atb.predictor.training_set import LEAST_ROWS, TrainingSet
from atb.predictor.transfer import LEAST_SAMPLES, transfer_model
from atb.profiler import Conditions

#: With fewer rows the coefficients of other modes tell more than a fit of its own.
_OWN_ROWS = 30


class SettingsColumns(NamedTuple):
    """Columns of architectures and of two settings, each float64[n]."""

    layers: FloatArray
    hidden: FloatArray
    heads: FloatArray
    qkv: FloatArray
    feed_forward: FloatArray
    batch: FloatArray
    sequence_length: FloatArray


_SIZES = (
    Quantity("batch", lambda c: c.batch),
    Quantity("sequence length", lambda c: c.sequence_length),
)


@cache
def settings_basis() -> Basis:
    """The work terms of architectures, with batch and sequence length as columns 5 and 6."""
    return Basis(_columns, tuple(_unbound(term) for term in WORK_TERMS), (*QUANTITIES, *_SIZES))


def _unbound(term: WorkTerm) -> Term:
    # the columns have a batch and a sequence length, as run settings do, one for each row
    return Term(term.name, lambda columns: term.amount(columns, columns))


def _columns(rows: Rows) -> SettingsColumns:
    if rows.ndim != 2 or rows.shape[1] != len(SettingsColumns._fields):
        raise InputError(
            f"An array {rows.dtype}{list(rows.shape)} is not one of architectures with settings: "
            f"pass numbers [n, {len(SettingsColumns._fields)}]."
        )
    return SettingsColumns(*(np.ascontiguousarray(column, np.float64) for column in rows.T))


def mode_of(settings: RunSettings) -> RunSettings:
    """The settings without batch and sequence length."""
    return replace(settings, batch=1, sequence_length=1)


@dataclass(frozen=True, slots=True)
class FamilyPredictor:
    """Predictors of all settings of one device and runtime that lie in what was measured.

    Attributes:
        conditions: Conditions of any of the settings; the settings themselves are not read.
        modes: Models on rows of `settings_basis`, by `mode_of`.
        summary: What the models were fitted on, and how well.
    """

    conditions: Conditions
    modes: Mapping[RunSettings, WorkModel]
    summary: TrainingSummary

    def at(self, settings: RunSettings) -> WorkPredictor:
        """The predictor of these settings.

        Raises:
            InputError: The mode was not measured, or batch or length lie outside what was.
        """
        mode = mode_of(settings)
        if mode not in self.modes:
            words = ", ".join(sorted({_worded(known) for known in self.modes}))
            raise InputError(
                f"The predictor knows nothing of {_worded(mode)} ({words} were measured): measure "
                "some with `atb profile` and fit again."
            )
        model = self.modes[mode]
        found = _bind(model, settings)
        conditions = replace(self.conditions, settings=settings)
        return WorkPredictor(conditions, found, self.summary)


def _worded(mode: RunSettings) -> str:
    threads = f"{mode.threads} thread{'s' * (mode.threads > 1)}"
    scenario = "" if mode.scenario == "hot-loop" else f" {mode.scenario}"
    return f"{mode.precision} on {threads}{scenario}"


def _bind(model: WorkModel, settings: RunSettings) -> WorkModel:
    """A model of architectures alone: the factors of the two settings enter its coefficients."""
    sizes = {"batch": settings.batch, "sequence length": settings.sequence_length}
    ends = zip(model.basis.quantities, model.support.low, model.support.high, strict=True)
    for quantity, low, high in ends:
        if quantity.name in sizes and not low <= sizes[quantity.name] <= high:
            raise InputError(
                f"The predictor was fitted for a {quantity.name} of {low:g} to {high:g}, not "
                f"{sizes[quantity.name]}: measure some with `atb profile` and fit again."
            )
    factor, residual = 1.0, model.residual
    if residual is not None:
        point = SettingsColumns(
            *[np.ones(1)] * 5, *(np.array([float(size)]) for size in sizes.values())
        )
        own = tuple(c for c in residual.curves if c.quantity.name in sizes)
        factor = float(Residual(own).factor(point)[0])
        residual = Residual(tuple(c for c in residual.curves if c.quantity.name not in sizes))
    kept = slice(0, len(QUANTITIES))
    return replace(
        model,
        basis=architecture_basis(settings),
        coefficients=model.coefficients * factor,
        residual=residual,
        support=Support(model.support.low[kept], model.support.high[kept]),
    )


def fit_family(
    training_sets: Iterable[TrainingSet],
    rng: np.random.Generator,
    *,
    coverage: float = DEFAULT_COVERAGE,
) -> FamilyPredictor:
    """Fit all modes that were measured.

    Args:
        training_sets: One for each set of conditions, of one device and runtime.
        rng: Generator that splits rows into folds.
        coverage: Share of new measurements that an interval is to contain.

    Raises:
        InputError: They are of several devices or runtimes, or a mode has too few rows.
    """
    sets = list(training_sets)
    first = sets[0].conditions
    for other in sets[1:]:
        conditions = replace(other.conditions, settings=first.settings)
        if conditions != first:
            raise InputError(
                "The measurements are of several devices or runtimes "
                f"({'; '.join(first.differences(conditions))}): choose those of one."
            )
    observed = {
        mode: _join([s for s in sets if mode_of(s.conditions.settings) == mode])
        for mode in dict.fromkeys(mode_of(s.conditions.settings) for s in sets)
    }
    models, held_out = _fit_modes(observed, rng, coverage)
    errors = [held_out[mode] / observed[mode].values - 1 for mode in observed]
    return FamilyPredictor(first, models, TrainingSummary.of(sets, np.concatenate(errors)))


def _fit_modes(
    observed: Mapping[RunSettings, Observations], rng: np.random.Generator, coverage: float
) -> tuple[dict[RunSettings, WorkModel], dict[RunSettings, FloatArray]]:
    """Models by mode, and what each says of its rows held out: scarce ones from the others."""
    plenty = [mode for mode, found in observed.items() if len(found) >= _OWN_ROWS]
    plenty = plenty or [max(observed, key=lambda mode: len(observed[mode]))]
    models: dict[RunSettings, WorkModel] = {}
    held_out: dict[RunSettings, FloatArray] = {}
    for mode in plenty:
        fitted = _fit_own(observed[mode], mode, rng, coverage)
        models[mode], held_out[mode] = fitted.model, fitted.held_out
    known = list(models.values())
    for mode, few in observed.items():
        if mode in models:
            continue
        if len(few) < LEAST_SAMPLES:
            raise InputError(
                f"{len(few)} measurements of {_worded(mode)} came and {LEAST_SAMPLES} are needed: "
                "measure more with `atb profile`."
            )
        moved = transfer_model(known, settings_basis(), few, coverage=coverage)
        models[mode], held_out[mode] = moved.model, moved.held_out
    return models, held_out


def _fit_own(
    observed: Observations, mode: RunSettings, rng: np.random.Generator, coverage: float
) -> FittedModel:
    distinct = len(np.unique(observed.rows, axis=0))
    if distinct < LEAST_ROWS:
        raise InputError(
            f"{distinct} usable measurements of {_worded(mode)} came and {LEAST_ROWS} are needed: "
            "measure more with `atb profile --samples`."
        )
    return fit_model(bases_of(settings_basis()), observed, rng, coverage=coverage)


def _join(sets: Sequence[TrainingSet]) -> Observations:
    """Rows with batch and length beside the architecture."""
    rows = []
    for s in sets:
        sizes = [s.conditions.settings.batch, s.conditions.settings.sequence_length]
        rows.append(np.column_stack([s.rows, np.tile(np.array(sizes, np.int32), (len(s), 1))]))
    return Observations(
        np.concatenate(rows),
        np.concatenate([s.seconds for s in sets]),
        np.concatenate([s.half_widths for s in sets]),
    )
