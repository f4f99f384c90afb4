"""Cells of a foreign table become numbers where they can mean only one, or are named as bad."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import numpy as np

from atb.predictor.fitting import FloatArray

#: What a file holds at one place: text of a CSV file, or what Parquet stores.
Cell: TypeAlias = str | int | float | bool | Decimal | None

_MISSING = {
    *("", "-", "--", "–", "—", ".", "..", "?", "na", "n/a", "#n/a", "n.a.", "nan", "none", "null"),
    *("nil", "missing", "#value!", "#div/0!", "#ref!"),
}
_SWITCHES = ({"true": 1.0, "false": 0.0}, {"yes": 1.0, "no": 0.0}, {"on": 1.0, "off": 0.0})
# Spaces and apostrophes stand between thousands in several languages.
_GAPS = "[ \u00a0\u2009\u202f'\u2019]"
_CELL = re.compile(
    rf"(?P<number>[+-]?(?:[0-9]{{1,3}}(?:{_GAPS}[0-9]{{3}})+|[0-9.,]*[0-9])[.,]?[0-9]*"
    r"(?:[eE][+-]?[0-9]+)?)"
    r"\s*(?P<unit>(?:[^\W\d_]|[%‰°])[^\s\d,;]*)?"
)
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"([+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+)(\.[0-9]*)?")
_LONGEST_NUMBER = 64
_SWAPPED = str.maketrans(",.", ".,")
_TIMES = {
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), "ns"),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
}
_NAMED_UNIT = re.compile(r".*(?:[([]\s*(?P<bracket>[^\])]+?)\s*[\])]|[_ ](?P<suffix>[^\W\d_]+))")


@dataclass(frozen=True, slots=True)
class Bad:
    """A cell that is no number.

    Attributes:
        row: Number of the row, from 0.
        cell: Content of the cell.
        why: The end of a sentence that begins with the cell.
    """

    row: int
    cell: Cell
    why: str

    def __str__(self) -> str:
        return "the cell is empty" if self.cell in (None, "") else f"{quoted(self.cell)} {self.why}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column as numbers.

    Attributes:
        name: Name of the column; empty where the file gives none.
        values: float64[rows]; not a number where a cell is bad.
        unit: What stands behind each number, such as `ms` or `%`, or None.
        bad: The cells that are no numbers, in order.
        unusable: Why the column as a whole holds no numbers, or None.
    """

    name: str
    values: FloatArray
    unit: str | None = None
    bad: tuple[Bad, ...] = ()
    unusable: str | None = None


@dataclass(frozen=True, slots=True)
class _Parsed:
    """Meanings of a cell: `point` and `comma` are its values with that decimal mark."""

    cell: Cell
    point: float | None = None
    comma: float | None = None
    unit: str | None = None
    missing: bool = False

    @property
    def is_number(self) -> bool:
        return self.point is not None or self.comma is not None

    @property
    def mark(self) -> str | None:
        """The only decimal mark with which this is a number."""
        if self.point is None or self.comma is None:
            return "," if self.comma is not None else "." if self.is_number else None
        return None

    @property
    def has_comma(self) -> bool:
        return isinstance(self.cell, str) and "," in self.cell


def is_number(text: str) -> bool:
    """Whether a cell of a text file can be a number."""
    return _parse(text).is_number


def quoted(cell: object) -> str:
    """A cell to be shown: short, printable, in quotation marks."""
    text = str(cell)
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def read_columns(
    names: Sequence[str], columns: Sequence[Sequence[Cell]], *, separator: str | None
) -> list[Column]:
    """Read every column of a file, since one tells the decimal mark of another.

    Args:
        names: Name of each column.
        columns: Cells of each column.
        separator: What stands between the cells of a text file. Where it is a comma, `1.024` has
            a decimal point, and where it is a semicolon, `1,024` has a decimal comma. Else other
            cells, such as `8,5`, decide.
    """
    plain = [_plain(name, cells) for name, cells in zip(names, columns, strict=True)]
    parsed = [
        [] if quick is not None else [_parse(cell) for cell in cells]
        for quick, cells in zip(plain, columns, strict=True)
    ]
    kinds = [_unusable(cells) if cells else None for cells in parsed]
    shown = {quick[1] for quick in plain if quick is not None}
    for kind, cells in zip(kinds, parsed, strict=True):
        shown |= set() if kind is not None else {cell.mark for cell in cells}
    marks = {mark for mark in shown if mark is not None}
    read = []
    for name, cells, quick, kind in zip(names, parsed, plain, kinds, strict=True):
        if quick is not None:
            read.append(quick[0])
        elif kind is not None:
            read.append(Column(name, np.full(len(cells), np.nan), unusable=kind))
        else:
            read.append(_switch(name, cells) or _numbers(name, cells, marks, separator))
    return read


def _plain(name: str, cells: Sequence[Cell]) -> tuple[Column, str | None] | None:
    """The column and the decimal mark that it shows, where no cell leaves a doubt: nearly all."""
    kinds = set(map(type, cells))
    mark = None
    if kinds == {str}:
        texts = [cell for cell in cells if isinstance(cell, str)]
        if max(map(len, texts)) > _LONGEST_NUMBER or not all(map(_PLAIN.fullmatch, texts)):
            return None
        pointed = [text for text in texts if "." in text]
        if pointed and all(_THOUSANDS.fullmatch(text.translate(_SWAPPED)) for text in pointed):
            return None
        mark = "." if pointed else None
    elif not kinds <= {int, float}:
        return None
    values = np.array([float(cell) for cell in cells], dtype=np.float64)  # type: ignore[arg-type]
    return (Column(name, values), mark) if np.isfinite(values).all() else None


def _parse(cell: Cell) -> _Parsed:
    if isinstance(cell, str):
        return _parse_text(cell)
    value = math.nan if cell is None else float(cell)
    return _Parsed(cell, missing=True) if math.isnan(value) else _Parsed(cell, value, value)


def _parse_text(cell: str) -> _Parsed:
    text = cell.strip().replace("\u2212", "-")
    if len(text) > _LONGEST_NUMBER:
        return _Parsed(cell)
    if _PLAIN.fullmatch(text) and not _THOUSANDS.fullmatch(text.translate(_SWAPPED)):
        value = float(text)  # as nearly every cell
        return _Parsed(cell, value, None if "." in text else value)
    if text.lower() in _MISSING:
        return _Parsed(cell, missing=True)
    found = _CELL.fullmatch(text)
    if found is None:
        return _Parsed(cell)
    number = re.sub(_GAPS, "", found["number"])
    return _Parsed(
        cell, _pointed(number), _pointed(number.translate(_SWAPPED)), _canonical(found["unit"])
    )


def _pointed(number: str) -> float | None:
    """A number with a decimal point, with or without commas between its thousands."""
    if _PLAIN.fullmatch(number):
        return float(number)
    return float(number.replace(",", "")) if _THOUSANDS.fullmatch(number) else None


def _canonical(unit: str | None) -> str | None:
    return None if unit is None else _TIMES.get(unit, unit.replace("\u03bc", "µ"))


def _unusable(cells: Sequence[_Parsed]) -> str | None:
    """Why a column is no column of numbers; a few cells that are none do not make it one."""
    texts = [cell for cell in cells if not cell.is_number and not cell.missing]
    numbers = sum(cell.is_number for cell in cells)
    if not texts and not numbers:
        return "is empty"
    if len(texts) > numbers and _switch_words(cells) is None:
        return f"holds text such as {quoted(texts[0].cell)}"
    # 1a, 2b and 3c are names, and no numbers of three units
    units = Counter(cell.unit for cell in cells if cell.is_number)
    (_, most), *_ = units.most_common(1) or [(None, 0)]
    if len(units) > 2 and 2 * most <= numbers:
        return f"holds text such as {quoted(next(cell.cell for cell in cells if cell.unit))}"
    return None


def _switch_words(cells: Sequence[_Parsed]) -> dict[str, float] | None:
    """The two words of which a column consists, with their values; None of other columns."""
    words = {str(cell.cell).strip().lower() for cell in cells if not cell.missing}
    return next((pair for pair in _SWITCHES if words <= pair.keys()), None)


def _switch(name: str, cells: Sequence[_Parsed]) -> Column | None:
    """A column of two words as zeros and ones; None of other columns."""
    words = _switch_words(cells)
    if words is None:
        return None
    values = [words.get(str(cell.cell).strip().lower(), math.nan) for cell in cells]
    bad = [
        Bad(i, cell.cell, "is neither of the two") for i, cell in enumerate(cells) if cell.missing
    ]
    return Column(name, np.array(values, dtype=np.float64), None, tuple(bad))


def _numbers(name: str, cells: Sequence[_Parsed], shown: set[str], separator: str | None) -> Column:
    unit = Counter(cell.unit for cell in cells if cell.is_number).most_common(1)[0][0]
    mark = _decimal_mark(cells, shown, separator)
    why_unit = "has another unit" if unit is None else f"is not in {unit} as others are"
    values = np.full(len(cells), np.nan)
    bad = []
    for row, cell in enumerate(cells):
        value = cell.comma if mark == "," else cell.point
        if _is_unclear(cell, mark, separator):
            what = "comma" if cell.has_comma else "point"
            why = f"may have a decimal {what}, or one between thousands"
            bad.append(Bad(row, cell.cell, why))
        elif value is None:
            why = "has another decimal mark than others" if cell.is_number else "is no number"
            bad.append(Bad(row, cell.cell, why))
        elif not math.isfinite(value):
            bad.append(Bad(row, cell.cell, "is no finite number"))
        elif cell.unit != unit:
            bad.append(Bad(row, cell.cell, why_unit))
        else:
            values[row] = value
    named = unit_of_name(name)
    if unit is not None and named not in (None, unit) and not bad:
        first = Bad(0, cells[0].cell, f"is not in {named} as the column's name says")
        return Column(name, values, unit, (first,))
    return Column(name, values, unit, tuple(bad))


def _is_unclear(cell: _Parsed, mark: str | None, separator: str | None) -> bool:
    """Whether a cell can still be two numbers; semicolons rule out commas between thousands."""
    against = mark == "." and separator == ";" and cell.has_comma
    is_either = cell.is_number and cell.mark is None and cell.point != cell.comma
    return is_either and (mark is None or against)


def _decimal_mark(cells: Sequence[_Parsed], shown: set[str], separator: str | None) -> str | None:
    """The decimal mark of a column: `.`, `,`, or None where not even the marks `shown` tell it."""
    own = Counter(cell.mark for cell in cells if cell.mark is not None)
    if own:
        return own.most_common(1)[0][0]
    unclear = [cell for cell in cells if cell.is_number and cell.point != cell.comma]
    if not unclear:
        return "."
    with_commas = any(cell.has_comma for cell in unclear)
    # where commas are decimal marks, semicolons stand between cells
    marks = shown | ({","} if separator == ";" and with_commas else set())
    if not marks and not with_commas:
        # 1.024 beside 512 may be a thousand; beside 1.152 it has three places behind the point
        is_fixed = len(unclear) == sum(cell.is_number for cell in cells)
        is_point = separator == "," or (is_fixed and separator != ";")
        return "." if is_point else None
    return next(iter(marks)) if len(marks) == 1 else None


def unit_of_name(name: str) -> str | None:
    """The unit of time that a column's name ends in, as `latency_ms` and `latency (ms)` do."""
    found = _NAMED_UNIT.fullmatch(name[-_LONGEST_NUMBER:])
    return None if found is None else _TIMES.get(found["bracket"] or found["suffix"])


def unit_of_time(unit: str | None) -> str | None:
    """A unit of time in its usual form; None of any other unit."""
    return None if unit is None else _TIMES.get(unit)
