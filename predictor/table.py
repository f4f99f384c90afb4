"""Anybody's measurements: numeric columns as raw sizes, their products as amounts of work."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atb.errors import BadFile, InputError
from atb.predictor.basis import Basis, Columns, FloatArray, Quantity, Rows, Term
from atb.predictor.fitting import DEFAULT_COVERAGE, fit_model
from atb.predictor.model import Estimates, WorkModel
from atb.predictor.observations import Observations

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ROW_ORDER",
    "Feature",
    "Table",
    "TablePredictor",
    "TableSummary",
    "fit_table",
    "read_rows",
    "read_table",
    "table_bases",
    "table_basis",
]

#: In place of a column: rows stand in the order in which they were measured.
ROW_ORDER = "rows"
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
        name: Of the column.
        offset: Subtracted before products are made, so that none is negative.
    """

    name: str
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Table:
    """Checked columns of a file.

    Attributes:
        features: Names of the columns in `observed.rows`, all of which vary.
        target: Name of the column that is predicted.
        order: `rows`, a column's name, or None.
        observed: The numbers, rows float64[n, features].
        constant: Names of the columns that were left out since they never vary.
    """

    features: tuple[str, ...]
    target: str
    order: str | None
    observed: Observations
    constant: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.observed)


@dataclass(frozen=True, slots=True)
class TableSummary:
    """Where a predictor comes from.

    Attributes:
        rows: Fitted on.
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
        degree: Of the products.
        target: The column that is predicted.
        model: What was fitted.
        summary: Where it comes from.
    """

    features: tuple[Feature, ...]
    degree: int
    target: str
    model: WorkModel
    summary: TableSummary

    def predict(self, rows: Rows, order: FloatArray | None = None) -> Estimates:
        """Predict float64[n, features]; with `order` at those times, else at the level."""
        return self.model.estimate(rows, order)


def read_table(
    path: Path,
    *,
    target: str,
    features: Sequence[str] | None = None,
    order: str | None = None,
    keep_constant: bool = False,
) -> Table:
    """Read a table, CSV or Parquet by its ending.

    Args:
        path: The file.
        target: The column to predict; above zero in every row.
        features: The columns it depends on; all other numeric ones where None.
        order: `rows`, or the column that says when a row was measured.
        keep_constant: Whether to keep columns that never vary, as a predictor's need them.

    Raises:
        BadFile: The file is missing or no table.
        InputError: A column is unknown, no number, incomplete or impossible.
    """
    frame = _read(path)
    names = _feature_names(frame, path, target, features, order)
    observed = Observations(
        np.column_stack([_column(frame, name, path) for name in names]),
        _target(frame, target, path),
        np.zeros(len(frame)),
        _order(frame, order, path),
    )
    varies = [bool(np.ptp(column)) for column in observed.rows.T]
    if keep_constant or all(varies):
        return Table(tuple(names), target, order, observed)
    if not any(varies):
        raise InputError(f"No column of {path} varies ({', '.join(names)}): name others.")
    used = tuple(name for name, kept in zip(names, varies, strict=True) if kept)
    constant = tuple(name for name, kept in zip(names, varies, strict=True) if not kept)
    kept_rows = np.ascontiguousarray(observed.rows[:, varies])
    return Table(used, target, order, replace(observed, rows=kept_rows), constant)


def read_rows(
    path: Path, features: Sequence[str], order: str | None = None
) -> tuple[FloatArray, FloatArray | None]:
    """Read what is to be predicted: float64[n, features], and when, if an order is given.

    Raises:
        BadFile: The file is missing or no table.
        InputError: A column is unknown, no number or incomplete.
    """
    frame = _read(path)
    rows = np.column_stack([_column(frame, name, path) for name in features])
    return rows, _order(frame, order, path)


def _feature_names(
    frame: pd.DataFrame,
    path: Path,
    target: str,
    features: Sequence[str] | None,
    order: str | None,
) -> list[str]:
    """The columns to learn from, checked by name."""
    if features is None:
        numeric = frame.select_dtypes("number").columns
        features = [str(c) for c in numeric if c not in (target, order)]
    repeated = [name for name, count in Counter(features).items() if count > 1]
    if repeated or target in features:
        raise InputError(
            f"The column {(repeated or [target])[0]!r} was asked for twice: name each once."
        )
    if not features:
        raise InputError(
            f"{path} has no numeric column beside {target!r}: name some in --features."
        )
    return list(features)


def _target(frame: pd.DataFrame, name: str, path: Path) -> FloatArray:
    values = _column(frame, name, path)
    if (values <= 0).any():
        row = int(np.argmax(values <= 0))
        raise InputError(
            f"Row {row + 1} of {path} has {name} {values[row]:g}, and a target is above zero: "
            "leave the row out."
        )
    return values


def _order(frame: pd.DataFrame, order: str | None, path: Path) -> FloatArray | None:
    if order == ROW_ORDER:
        return np.arange(len(frame), dtype=np.float64)
    return None if order is None else _column(frame, order, path)


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
    )


def table_bases(table: Table) -> dict[int, Basis]:
    """The bases to choose from, by the degree of their products."""
    features = _features(table)
    most = min(_MOST_TERMS, _MOST_TERMS_A_ROW * len(table))
    return {degree: table_basis(features, degree) for degree in _degrees(len(features), most)}


def _features(table: Table) -> tuple[Feature, ...]:
    lowest = table.observed.rows.min(axis=0)
    return tuple(
        Feature(name, min(float(low), 0.0))
        for name, low in zip(table.features, lowest, strict=True)
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


def _degrees(features: int, most_terms: int) -> list[int]:
    """From 1 on, as far as the number of products is borne."""
    return [
        degree
        for degree in range(1, _MOST_DEGREE + 1)
        if degree == 1 or math.comb(features + degree, degree) <= most_terms
    ]


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise BadFile(f"There is no file {path}: check the path.")
    try:
        parquet = path.suffix.lower() in (".parquet", ".pq")
        frame = pd.read_parquet(path) if parquet else pd.read_csv(path)
    except ImportError as error:
        raise InputError(
            f"{path} is Parquet, which needs a further package: pip install pyarrow, or write CSV."
        ) from error
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0]
        raise BadFile(f"{path} is not a readable table ({reason}): pass CSV or Parquet.") from error
    if frame.empty:
        raise InputError(f"{path} holds no rows: pass a table that does.")
    return frame


def _column(frame: pd.DataFrame, name: str, path: Path) -> FloatArray:
    """Numbers of a column, float64[n]."""
    if name not in frame.columns:
        raise InputError(
            f"{path} has no column {name!r}: choose among {', '.join(map(str, frame.columns))}."
        )
    column: Any = frame[name]
    if column.dtype.kind not in "iufb":
        raise InputError(f"The column {name!r} of {path} holds no numbers: choose others.")
    numbers = column.to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise InputError(
            f"Row {wrong[0] + 1} of {path} has no usable {name} ({numbers[wrong[0]]}): "
            "fill it in, or leave the row out."
        )
    return np.asarray(numbers)
