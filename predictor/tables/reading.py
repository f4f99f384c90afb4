"""Which columns of a foreign table are learnt from, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atb.errors import InputError
from atb.predictor.fitting import FloatArray, Observations
from atb.predictor.tables.cells import Column, quoted
from atb.predictor.tables.columns import LeftOut, NumberTable
from atb.predictor.tables.files import listed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROW_ORDER", "RowsToPredict", "Table", "read_judged_table", "read_rows", "read_table"]

#: In place of a column: rows stand in the order in which they were measured.
ROW_ORDER = "rows"


@dataclass(frozen=True, slots=True)
class Table:
    """Checked columns of a file.

    Attributes:
        features: Names of the columns in `observed.rows`, all of which vary.
        target: Name of the column that is predicted.
        order: `rows`, a column's name, or None.
        observed: The numbers, rows float64[n, features].
        left_out: The other columns, with the reason.
        units: What stands behind the numbers of each feature, or None.
        target_unit: The same of the target.
        notes: What is to be said of how the file was read, as sentences.
    """

    features: tuple[str, ...]
    target: str
    order: str | None
    observed: Observations
    left_out: tuple[LeftOut, ...] = ()
    units: tuple[str | None, ...] | None = None
    target_unit: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.observed)


@dataclass(frozen=True, slots=True)
class RowsToPredict:
    """Rows of a file for a predictor.

    Attributes:
        rows: Numbers of each row, float64[n, features].
        order: When each was measured, float64[n], or None.
        notes: What is to be said of how the file was read, as sentences.
    """

    rows: FloatArray
    order: FloatArray | None
    notes: tuple[str, ...] = ()


def read_table(
    source: Path | pd.DataFrame,
    *,
    target: str,
    features: Sequence[str] | None = None,
    order: str | None = None,
) -> Table:
    """Read a table: text whose separator, decimal mark and units are told from it, or Parquet.

    Args:
        source: File with the table, or a frame.
        target: The column to predict; above zero in every row.
        features: The columns it depends on; all other numeric ones where None.
        order: `rows`, or the column that says when a row was measured.

    Raises:
        BadFile: The file is missing or no table.
        InputError: A column is unknown, no number, incomplete or impossible.
    """
    numbers = NumberTable.read(source)
    names, left_out = _feature_names(numbers, target, features, order)
    goal = _target(numbers, target)
    columns = [numbers.numbers(name) for name in names]
    varying = [column for column in columns if np.ptp(column.values)]
    if not varying:
        raise InputError(f"No column of {numbers.path} varies ({listed(names)}): name others.")
    constant = [LeftOut(c.name, "never varies") for c in columns if not np.ptp(c.values)]
    left_out = [*left_out, *constant]
    return _table(numbers, varying, goal, order, left_out=left_out, notes=numbers.raw.notes)


def read_judged_table(
    source: Path | pd.DataFrame,
    units: Mapping[str, str | None],
    target: str,
    target_unit: str | None,
    order: str | None = None,
) -> Table:
    """Read a table with the columns of a predictor, of which some may never vary.

    Args:
        source: File with the table, or a frame.
        units: Of the columns that the predictor needs, by name and in its order.
        target: The column that it predicts.
        target_unit: The unit in which it does.
        order: `rows`, a column's name, or None.

    Raises:
        BadFile: As `read_table`.
        InputError: As `read_table`, or a column is in another unit than the predictor's.
    """
    numbers = NumberTable.read(source)
    numbers.require([target, *units, *_order_columns(order)])
    goal = _target(numbers, target, {target: target_unit})
    columns = [numbers.numbers(name, units) for name in units]
    unused = numbers.unused([target, *units, order])
    left_out = [LeftOut(name, "is no column of the predictor") for name in unused]
    notes = _unit_notes(numbers, {**units, target: target_unit}, [*columns, goal])
    return _table(numbers, columns, goal, order, left_out=left_out, notes=notes)


def read_rows(
    source: Path | pd.DataFrame, units: Mapping[str, str | None], order: str | None = None
) -> RowsToPredict:
    """Read what is to be predicted; arguments and errors are those of `read_judged_table`."""
    numbers = NumberTable.read(source)
    numbers.require([*units, *_order_columns(order)])
    columns = [numbers.numbers(name, units) for name in units]
    rows = np.column_stack([column.values for column in columns])
    return RowsToPredict(rows, _order(numbers, order), _unit_notes(numbers, units, columns))


def _table(
    numbers: NumberTable,
    columns: Sequence[Column],
    target: Column,
    order: str | None,
    *,
    left_out: Sequence[LeftOut],
    notes: tuple[str, ...],
) -> Table:
    rows = np.column_stack([column.values for column in columns])
    return Table(
        features=tuple(column.name for column in columns),
        target=target.name,
        order=order,
        observed=Observations(rows, target.values, np.zeros(len(rows)), _order(numbers, order)),
        left_out=tuple(left_out),
        units=tuple(column.unit for column in columns),
        target_unit=target.unit,
        notes=notes,
    )


def _unit_notes(
    numbers: NumberTable, units: Mapping[str, str | None], columns: Sequence[Column]
) -> tuple[str, ...]:
    """Notes of the file, and on columns without the unit that they had for the predictor."""
    return numbers.raw.notes + tuple(
        f"The column {column.name!r} gives no unit and is read in {units[column.name]}, as when "
        "the predictor was fitted."
        for column in columns
        if units[column.name] is not None and column.unit is None
    )


def _feature_names(
    numbers: NumberTable, target: str, features: Sequence[str] | None, order: str | None
) -> tuple[list[str], list[LeftOut]]:
    """The columns to learn from, checked by name, and those that are left out."""
    numbers.require([target, *_order_columns(order), *(features or ())])
    if features is None:
        names, left_out = numbers.candidates(target, order)
        if names:
            return names, left_out
        reasons = "; ".join(f"{quoted(one.name)} {one.reason}" for one in left_out[:5])
        raise InputError(
            f"{numbers.path} has no column of numbers beside {target!r}"
            f"{f' ({reasons})' if reasons else ''}: add one."
        )
    repeated = [name for name, count in Counter(features).items() if count > 1]
    if repeated or target in features:
        raise InputError(
            f"The column {(repeated or [target])[0]!r} was asked for twice: name each once."
        )
    return list(features), []


def _target(
    numbers: NumberTable, name: str, units: Mapping[str, str | None] | None = None
) -> Column:
    column = numbers.numbers(name, units)
    if (column.values <= 0).any():
        row = int(np.argmax(column.values <= 0))
        raise InputError(
            f"{numbers.place(row)} has {name} {column.values[row]:g}, and a target is above zero: "
            "leave the row out."
        )
    return column


def _order_columns(order: str | None) -> list[str]:
    return [] if order in (None, ROW_ORDER) else [order]


def _order(numbers: NumberTable, order: str | None) -> FloatArray | None:
    if order == ROW_ORDER:
        return np.arange(numbers.raw.rows, dtype=np.float64)
    return None if order is None else numbers.numbers(order).values
