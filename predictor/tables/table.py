"""Predictors of tables: numeric columns are sizes, their products amounts of work."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import numpy as np

from atb.errors import InputError
from atb.predictor.fitting import (
    DEFAULT_COVERAGE,
    Basis,
    Columns,
    Estimates,
    FloatArray,
    Quantity,
    Rows,
    Term,
    WorkModel,
    fit_model,
)
from atb.predictor.tables.reading import Table

#: Of a product: work of a layer is layers times width times width.
_MOST_DEGREE = 3
#: More products take minutes to fit and say no more.
_MOST_TERMS = 800
#: With more, products fit by chance what they then fail to predict.
_MOST_TERMS_A_ROW = 4
#: Fewer cannot carry a ninety-percent interval: its quantile needs nine rows held out in turn.
_LEAST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Feature:
    """A column that a value depends on.

    Attributes:
        name: Name of the column.
        offset: Subtracted before products are made, so that none is negative.
        unit: What stood behind the numbers that were learnt from, or None.
    """

    name: str
    offset: float = 0.0
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class TableSummary:
    """Summary of a fit on a table.

    Attributes:
        rows: Number of rows fitted on.
        order: `rows`, a column's name, or None.
        cross_validated_mape: Mean absolute relative error on rows held out in turn.
        cross_validated_timed_mape: The same where the drift at the row's time is known.
    """

    rows: int
    order: str | None
    cross_validated_mape: float
    cross_validated_timed_mape: float


@dataclass(frozen=True, slots=True)
class TablePredictor:
    """Predicts one column of a table from others.

    Attributes:
        features: The columns, in the order of a row.
        degree: Largest number of features in a product.
        target: The column that is predicted.
        model: The fitted model of the target.
        summary: What the model was fitted on, and how well.
        target_unit: What stood behind the target's numbers, or None.
        learnt_from: A digest of each different row that it was fitted on; empty where a file does
            not tell.
    """

    features: tuple[Feature, ...]
    degree: int
    target: str
    model: WorkModel
    summary: TableSummary
    target_unit: str | None = None
    learnt_from: tuple[str, ...] = ()

    def predict(self, rows: Rows, order: FloatArray | None = None) -> Estimates:
        """Predict float64[n, features]; with `order` at those times, else at the level."""
        return self.model.estimate(rows, order)

    @property
    def units(self) -> dict[str, str | None]:
        """The unit of each feature by its name."""
        return {feature.name: feature.unit for feature in self.features}


def fit_table(
    table: Table, rng: np.random.Generator, *, coverage: float = DEFAULT_COVERAGE
) -> TablePredictor:
    """Fit a predictor of the table's target.

    Raises:
        InputError: There are too few rows, or the target never varies.
    """
    observed = table.observed
    distinct = len(np.unique(observed.rows, axis=0))
    if distinct < _LEAST_ROWS:
        raise InputError(
            f"The table has {distinct} different rows and {_LEAST_ROWS} are needed: measure more."
        )
    if np.ptp(observed.values) == 0:
        raise InputError(f"Every row has the same {table.target}: there is nothing to predict.")
    features, bases = _features(table), table_bases(table)
    fitted = fit_model(list(bases.values()), observed, rng, coverage=coverage)
    errors = [
        np.abs(found / observed.values - 1) for found in (fitted.held_out, fitted.held_out_timed)
    ]
    return TablePredictor(
        features=features,
        degree=next(d for d, basis in bases.items() if basis is fitted.model.basis),
        target=table.target,
        model=fitted.model,
        summary=TableSummary(len(table), table.order, *(float(np.mean(error)) for error in errors)),
        target_unit=table.target_unit,
        learnt_from=tuple(dict.fromkeys(digests_of(observed.rows))),
    )


def digests_of(rows: Rows) -> list[str]:
    """A digest of each row of features, of eight characters."""
    exact = np.ascontiguousarray(rows, dtype="<f8") + 0.0  # one zero of the two
    return [hashlib.blake2b(row.tobytes(), digest_size=4).hexdigest() for row in exact]


def table_bases(table: Table) -> dict[int, Basis]:
    """The bases to choose from, by the degree of their products, which are not too many."""
    features = _features(table)
    most = min(_MOST_TERMS, _MOST_TERMS_A_ROW * len(table))
    return {
        degree: table_basis(features, degree)
        for degree in range(1, _MOST_DEGREE + 1)
        if degree == 1 or math.comb(len(features) + degree, degree) <= most
    }


def _features(table: Table) -> tuple[Feature, ...]:
    lowest = table.observed.rows.min(axis=0)
    units = table.units or (None,) * len(table.features)
    return tuple(
        Feature(name, min(float(low), 0.0), unit)
        for name, low, unit in zip(table.features, lowest, units, strict=True)
    )


def table_basis(features: Sequence[Feature], degree: int) -> Basis:
    """Every product of at most `degree` features, and the features themselves as quantities."""
    powers = [
        combination
        for size in range(1, degree + 1)
        for combination in itertools.combinations_with_replacement(range(len(features)), size)
    ]
    terms = [Term("fixed", lambda _: 1.0)]
    for chosen in powers:
        name = "·".join(features[i].name for i in chosen)
        factors = tuple((i, features[i].offset) for i in chosen)
        terms.append(Term(name, partial(_product, factors=factors)))
    quantities = tuple(Quantity(feature.name, itemgetter(i)) for i, feature in enumerate(features))
    return Basis(lambda rows: _columns(rows, len(features)), tuple(terms), quantities)


def _product(columns: Columns, factors: Sequence[tuple[int, float]]) -> FloatArray:
    return np.asarray(
        math.prod((np.maximum(columns[i] - offset, 0) for i, offset in factors), start=1.0)
    )


def _columns(rows: Rows, count: int) -> Columns:
    if rows.ndim != 2 or rows.shape[1] != count or rows.dtype.kind not in "iuf":
        raise InputError(
            f"An array {rows.dtype}{list(rows.shape)} does not hold the {count} features: "
            f"pass numbers [n, {count}]."
        )
    return [np.ascontiguousarray(rows[:, i], dtype=np.float64) for i in range(count)]
