"""Columns of a foreign table as numbers, each asked for by name; what is left out says why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atb.errors import InputError
from atb.predictor.fitting import FloatArray
from atb.predictor.tables.cells import Column, read_columns, unit_of_name, unit_of_time
from atb.predictor.tables.files import RawTable, listed, raw_of_frame, read_table_file

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LeftOut", "NumberTable"]

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
class NumberTable:
    """A file or frame whose columns were read as numbers as far as they are.

    Attributes:
        path: Path of the file, for messages; "the table" for a frame.
        raw: Its names and cells as text.
        columns: Its columns as numbers, in order.
    """

    path: Path
    raw: RawTable
    columns: tuple[Column, ...]

    @classmethod
    def read(cls, source: Path | pd.DataFrame) -> NumberTable:
        """Read a file or a frame.

        Raises:
            BadFile: It is missing or no table.
            InputError: It has no rows or no header.
        """
        if isinstance(source, Path):
            path, raw = source, read_table_file(source)
        else:
            path, raw = Path("the table"), raw_of_frame(source)
        columns = read_columns(raw.names, raw.columns, separator=raw.separator)
        return cls(path, raw, tuple(columns))

    def require(self, names: Sequence[str]) -> None:
        """Make sure that there are columns of these names.

        Raises:
            InputError: Some are missing; all of them are named.
        """
        missing = [name for name in dict.fromkeys(names) if name not in self.raw.names]
        if missing:
            there = listed([name for name in self.raw.names if name])
            raise InputError(
                f"{self.path} has {' and '.join(f'no column {name!r}' for name in missing)}: "
                f"choose among {there}."
            )

    def numbers(self, name: str, units: Mapping[str, str | None] | None = None) -> Column:
        """A column in which every cell is a number.

        Args:
            name: Name of the column.
            units: The units in which a predictor knows its columns, by name; None of a column
                that was learnt without one. Any unit will do where this is None.

        Raises:
            InputError: There is no such column or more than one, a cell is no number, or the unit
                is another one.
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

        Args:
            target: The column that is predicted.
            order: The column that says when a row was measured.
        """
        names: list[str] = []
        left_out = []
        is_time = self._is_time(target)
        is_export = set(self.raw.names) >= _OF_THE_MEASUREMENT
        for place, column in enumerate(self.columns, start=1):
            if column.name in (target, order, *names):
                continue
            unnamed = _UNNAMED.fullmatch(column.name) is not None
            if column.unusable == "is empty" and not column.name:
                continue
            if unnamed:
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

    def unused(self, used: Sequence[str | None]) -> list[str]:
        """Names of columns that have no job."""
        return [name for name in dict.fromkeys(self.raw.names) if name and name not in used]

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
