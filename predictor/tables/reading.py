"""Which columns of a foreign table are learnt from, as numbers; what is left out says why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atb.errors import InputError
from atb.predictor.fitting import FloatArray, Observations
from atb.predictor.tables.cells import Column, quoted, read_columns, unit_of_name, unit_of_time
from atb.predictor.tables.files import RawTable, listed, raw_of_frame, read_table_file

if TYPE_CHECKING:
    import pandas as pd

#: In place of a column: rows stand in the order in which they were measured.
ROW_ORDER = "rows"
# What pandas calls a column of row labels that has no name.
_UNNAMED = re.compile(r"|Unnamed: \d+(_level_\d+)?|__index_level_\d+__")
# Columns of these names that count 1, 2, 3 are numbers of rows and no measure of work.
_ROW_NUMBERS = {
    *("#", "id", "idx", "index", "level_0", "no", "no.", "nr", "nr.", "row", "row_id"),
    *("row_number", "run", "run_id", "sample"),
}
#: What a table of `atb database export` says of a measurement beside its conditions.
_OF_THE_MEASUREMENT = {"estimator", "flagged", "reasons", "launches", "blocks"}
_MOST_ROWS_NAMED = 5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that nothing is learnt from.

    Attributes:
        name: Name of the column, or its place where it has none.
        reason: The rest of a sentence that begins with the column.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _NumberTable:
    """A file or frame whose columns were read as numbers as far as they are."""

    path: Path  # of the file, for messages; "the table" for a frame
    raw: RawTable
    columns: tuple[Column, ...]

    @classmethod
    def read(cls, source: Path | pd.DataFrame) -> _NumberTable:
        """Read a file or a frame."""
        if isinstance(source, Path):
            path, raw = source, read_table_file(source)
        else:
            path, raw = Path("the table"), raw_of_frame(source)
        columns = read_columns(raw.names, raw.columns, separator=raw.separator)
        return cls(path, raw, tuple(columns))

    def require(self, names: Sequence[str]) -> None:
        """Make sure that there are columns of these names; the error names all that are missing."""
        missing = [name for name in dict.fromkeys(names) if name not in self.raw.names]
        if missing:
            there = listed([name for name in self.raw.names if name])
            raise InputError(
                f"{self.path} has {' and '.join(f'no column {name!r}' for name in missing)}: "
                f"choose among {there}."
            )

    def numbers(self, name: str, units: Mapping[str, str | None] | None = None) -> Column:
        """The only column of this name, in which every cell is a number.

        `units` are those in which a predictor knows its columns, by name; None of a column that
        was learnt without one. Any unit will do where there are no `units`.
        """
        self.require([name])
        if self.raw.names.count(name) > 1:
            raise InputError(
                f"{self.path} has {self.raw.names.count(name)} columns {name!r}: rename them."
            )
        column = self.columns[self.raw.names.index(name)]
        if column.unusable is not None:
            raise InputError(
                f"The column {name!r} of {self.path} holds no numbers (it {column.unusable}): "
                "choose others."
            )
        if column.bad:
            raise InputError(
                f"{self.place(column.bad[0].row)} has no usable {name} ({column.bad[0]})"
                f"{_further_rows([bad.row for bad in column.bad[1:]])}: correct it, leave the row "
                "out, or choose other columns."
            )
        if units is not None:
            self._check_unit(column, units[name])
        return column

    def place(self, row: int) -> str:
        """A row, counted from 0, as the beginning of a sentence."""
        line = "" if self.raw.lines is None else f" (line {self.raw.lines[row]})"
        return f"Row {row + 1} of {self.path}{line}"

    def candidates(self, target: str, order: str | None = None) -> tuple[list[str], list[LeftOut]]:
        """Columns that may be features, and those that are not, with the reason.

        A column of numbers with a bad cell is a candidate: `numbers` then tells of the cell. Where
        a time is predicted, further times of the table are results like it, such as a percentile or
        the ends of its interval: a fit on them would look perfect and predict nothing.
        """
        names: list[str] = []
        left_out = []
        is_time = self._is_time(target)
        is_export = set(self.raw.names) >= _OF_THE_MEASUREMENT
        for place, column in enumerate(self.columns, start=1):
            if column.name in (target, order, *names):
                continue
            if column.unusable == "is empty" and not column.name:
                continue
            if _UNNAMED.fullmatch(column.name):
                left_out.append(LeftOut(column.name or f"column {place}", "has no name"))
            elif column.unusable is not None:
                left_out.append(LeftOut(column.name, column.unusable))
            elif column.name.lower() in _ROW_NUMBERS and _counts_rows(column.values):
                left_out.append(LeftOut(column.name, "numbers the rows"))
            elif is_time and self._is_time(column.name):
                left_out.append(LeftOut(column.name, f"is a time, as {target} is"))
            elif is_export and column.name in _OF_THE_MEASUREMENT:
                left_out.append(LeftOut(column.name, "tells of the measurement"))
            else:
                names.append(column.name)
        return names, left_out

    def _is_time(self, name: str) -> bool:
        """Whether a column holds times, by the unit in its name or behind its numbers."""
        column = self.columns[self.raw.names.index(name)]
        return (unit_of_name(name) or unit_of_time(column.unit)) is not None

    def _check_unit(self, column: Column, wanted: str | None) -> None:
        told = column.unit or unit_of_name(column.name)
        wanted = wanted or unit_of_name(column.name)
        if column.unit is not None and told != wanted:
            learnt = "without a unit" if wanted is None else f"in {wanted}"
            raise InputError(
                f"The column {column.name!r} of {self.path} is in {told}, and the predictor "
                f"was fitted on it {learnt}: convert the column."
            )


def _further_rows(rows: Sequence[int]) -> str:
    if not rows:
        return ""
    shown = ", ".join(str(row + 1) for row in rows[:_MOST_ROWS_NAMED])
    more = len(rows) - _MOST_ROWS_NAMED
    return f", nor {'has row' if len(rows) == 1 else 'have rows'} {shown}" + (
        f" and {more} more" if more > 0 else ""
    )


def _counts_rows(values: FloatArray) -> bool:
    return values[0] in (0, 1) and bool((np.diff(values) == 1).all())


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
    numbers = _NumberTable.read(source)
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
    numbers = _NumberTable.read(source)
    numbers.require([target, *units, *_order_columns(order)])
    goal = _target(numbers, target, {target: target_unit})
    columns = [numbers.numbers(name, units) for name in units]
    names = [name for name in dict.fromkeys(numbers.raw.names) if name]
    used = (target, *units, order)
    left_out = [LeftOut(n, "is no column of the predictor") for n in names if n not in used]
    notes = _unit_notes(numbers, {**units, target: target_unit}, [*columns, goal])
    return _table(numbers, columns, goal, order, left_out=left_out, notes=notes)


def read_rows(
    source: Path | pd.DataFrame, units: Mapping[str, str | None], order: str | None = None
) -> RowsToPredict:
    """Read what is to be predicted; arguments and errors are those of `read_judged_table`."""
    numbers = _NumberTable.read(source)
    numbers.require([*units, *_order_columns(order)])
    columns = [numbers.numbers(name, units) for name in units]
    rows = np.column_stack([column.values for column in columns])
    return RowsToPredict(rows, _order(numbers, order), _unit_notes(numbers, units, columns))


def _table(
    numbers: _NumberTable,
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
    numbers: _NumberTable, units: Mapping[str, str | None], columns: Sequence[Column]
) -> tuple[str, ...]:
    """Notes of the file, and on columns without the unit that they had for the predictor."""
    return numbers.raw.notes + tuple(
        f"The column {column.name!r} gives no unit and is read in {units[column.name]}, as when "
        "the predictor was fitted."
        for column in columns
        if units[column.name] is not None and column.unit is None
    )


def _feature_names(
    numbers: _NumberTable, target: str, features: Sequence[str] | None, order: str | None
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
    numbers: _NumberTable, name: str, units: Mapping[str, str | None] | None = None
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


def _order(numbers: _NumberTable, order: str | None) -> FloatArray | None:
    if order == ROW_ORDER:
        return np.arange(numbers.raw.rows, dtype=np.float64)
    return None if order is None else numbers.numbers(order).values
