"""Files of tables that others wrote: delimited text of many kinds, or Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from atb.errors import BadFile, InputError, MissingExtra
from atb.predictor.tables.cells import Cell, is_number, quoted
from atb.text_files import BYTE_ORDER_MARK, bad_byte, encoding_of, one_line, unpacked

if TYPE_CHECKING:
    import pandas as pd

_PARQUET_MAGIC = b"PAR1"
_FOREIGN = {
    b"PK\x03\x04": "a spreadsheet or a zip archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"SQLite format 3": "an SQLite database",
}
#: What can stand between cells, beside white space.
_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE_LINES = 50
#: Characters of a column's name.
_LONGEST_NAME = 200
#: Names in an error message.
_MOST_LISTED = 12
# Of the line below the header of a Markdown table.
_RULE = set(":- ")


@dataclass(frozen=True, slots=True)
class RawTable:
    """Names and cells of a file.

    Attributes:
        names: Of the columns; empty where the file gives none.
        columns: Their cells, all of one length.
        lines: The line of each row in a text file, counted from 1; None of Parquet.
        separator: What stands between cells of a text file; None of white space and of Parquet.
        notes: What a reader of the file should know, as sentences.
    """

    names: tuple[str, ...]
    columns: tuple[Sequence[Cell], ...]
    lines: tuple[int, ...] | None
    separator: str | None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of cells."""
        return len(self.columns[0]) if self.columns else 0


def listed(names: Sequence[str]) -> str:
    """Names of columns in a sentence: short ones, and not too many."""
    shown = [quoted(name) for name in names[:_MOST_LISTED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def read_table_file(path: Path) -> RawTable:
    """Read a table as it stands, without saying what its cells mean.

    Raises:
        BadFile: The file is missing, no table, or has rows of different lengths.
        InputError: It has no rows or no header, or needs a package that is not installed.
    """
    if not path.is_file():
        raise BadFile(f"There is no file {path}: check the path.")
    try:
        with path.open("rb") as raw:
            data = unpacked(raw).read()
    except (OSError, EOFError, ValueError) as error:
        raise BadFile(
            f"{path} cannot be read ({one_line(error)}): check the file, or make it again."
        ) from error
    is_parquet = data.startswith(_PARQUET_MAGIC)
    if is_parquet or path.suffix.lower() in (".parquet", ".pq"):
        table = _read_parquet(path, data)
    else:
        _check_kind(path, data)
        table = _read_text(path, data)
    if not table.rows:
        raise InputError(f"{path} holds no rows: pass a table that does.")
    return table


def raw_of_frame(frame: pd.DataFrame) -> RawTable:
    """The cells of a frame of pandas, without its index.

    Raises:
        InputError: It has no rows.
    """
    if frame.empty:
        raise InputError("The table holds no rows: pass one that does.")
    cells = [frame.iloc[:, i].astype(object) for i in range(frame.shape[1])]
    columns = tuple([_stored(c) for c in column.where(column.notna(), None)] for column in cells)
    return RawTable(tuple(map(str, frame.columns)), columns, None, None)


def _check_kind(path: Path, data: bytes) -> None:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((kind for magic, kind in _FOREIGN.items() if data.startswith(magic)), None)
    if start[:1] in (b"{", b"["):
        kind = "JSON"
    elif start[:1] == b"<":
        kind = "a web page or XML"
    if kind is not None:
        raise BadFile(f"{path} is {kind}: save the table as CSV or Parquet.")


def _read_parquet(path: Path, data: bytes) -> RawTable:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra(
            "pyarrow", "parquet", wanted_for=f"Reading {path}", instead="or write CSV"
        ) from error
    try:
        table = parquet.read_table(pa.BufferReader(data))
        columns = [column.to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadFile(
            f"{path} is not a readable Parquet file ({one_line(error)}): make it again."
        ) from error
    names = [_name(path, name) for name in table.column_names]
    return RawTable(
        tuple(names), tuple([_stored(c) for c in cells] for cells in columns), None, None
    )


def _stored(cell: object) -> Cell:
    """Dates, lists and the like as text: they are no numbers."""
    return cell if isinstance(cell, str | int | float | Decimal | None) else str(cell)


def _read_text(path: Path, data: bytes) -> RawTable:
    text, notes = _decoded(path, data)
    lines, comments = _lines_of(text)
    separator, lines = _separator(lines) if lines else (None, lines)
    rows = list(_rows(path, lines, separator))
    if not rows:
        return RawTable((), (), (), separator)
    header, rows = _header(path, rows, comments, separator)
    width = _width(path, header, rows)
    names = [_name(path, name) for name in header]
    kept = [(line, cells) for line, cells in rows if cells != header]
    if len(kept) < len(rows):
        notes.append(f"{path} repeats its header in {len(rows) - len(kept)} of its lines.")
    columns = tuple([cells[i] for _, cells in kept] for i in range(width))
    return RawTable(tuple(names), columns, tuple(line for line, _ in kept), separator, tuple(notes))


def _decoded(path: Path, data: bytes) -> tuple[str, list[str]]:
    encoding, notes = encoding_of(data[:4]), []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        try:
            if encoding != "utf-8":
                raise
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            line, offset, byte = bad_byte(io.BytesIO(data), encoding) or (1, 0, 0)
            raise BadFile(
                f"Line {line} of {path} is no {encoding.upper().removesuffix('-SIG')} text (byte "
                f"0x{byte:02x} at offset {offset}): save the table as UTF-8."
            ) from error
        notes.append(f"{path} is not UTF-8 and was read as Windows-1252.")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadFile(
            f"Line {line} of {path} holds a NUL character: it is binary, or UTF-16 without a "
            "byte-order mark; save the table as UTF-8."
        )
    return text.replace(BYTE_ORDER_MARK, ""), notes


def _lines_of(text: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Lines with their numbers, without blank ones and comments; and the comments before them."""
    lines: list[tuple[int, str]] = []
    comments: list[str] = []
    within = False  # a cell in quotation marks that goes on
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not within and line.lstrip().startswith("#"):
            if not lines:
                comments.append(line)
        elif within or line.strip():
            lines.append((number, line + "\n"))
            within ^= line.count('"') % 2 == 1
    return lines, comments


def _separator(lines: list[tuple[int, str]]) -> tuple[str | None, list[tuple[int, str]]]:
    """Find the separator, None of white space; a first line that names it is taken away."""
    named = re.fullmatch(r'"?sep=([,;|:\t])"?\s*', lines[0][1])  # as spreadsheets write it
    if named:
        return named[1], lines[1:]
    sample = [line for _, line in lines[:_SAMPLE_LINES]]
    best: tuple[tuple[bool, float, int], str | None] = ((False, 0.0, 1), ",")
    for separator in (*_SEPARATORS, None):
        counts = [len(_cut(line, separator)) for line in sample]
        (count, agreeing), *_ = Counter(counts).most_common(1)
        fit = (counts[0] == count, agreeing / len(counts), count)
        # white space stands within cells too
        is_likely = separator is not None or (fit[:2] == (True, 1.0) and not best[0][0])
        if count > 1 and fit > best[0] and is_likely:
            best = (fit, separator)
    return best[1], lines


def _cut(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    try:
        cells = next(iter(csv.reader([line], delimiter=separator, skipinitialspace=True)), [])
    except csv.Error:  # told where the whole file is cut
        return [line]
    while cells and not cells[-1].strip():
        cells.pop()
    return cells


def _rows(
    path: Path, lines: Sequence[tuple[int, str]], separator: str | None
) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row without white space around them, and the line that it begins in."""
    if separator is None:
        yield from ((number, line.split()) for number, line in lines)
        return
    reader = csv.reader(
        (line for _, line in lines), delimiter=separator, skipinitialspace=True, strict=True
    )
    begun = 0
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            # a quotation mark that is not closed would swallow the rows up to the next one
            if begun and any("\n" in cell and separator in cell for cell in stripped):
                raise csv.Error("a cell goes over several lines and holds separators")
            is_rule = separator == "|" and set().union(*stripped) <= _RULE
            if any(stripped) and not is_rule:
                yield lines[begun][0], stripped
            begun = reader.line_num
    except csv.Error as error:
        raise BadFile(
            f"Line {lines[min(begun, len(lines) - 1)][0]} of {path} cannot be cut into cells "
            f"({one_line(error)}): repair its quotation marks."
        ) from error


_Rows = list[tuple[int, list[str]]]


def _header(
    path: Path, rows: _Rows, comments: Sequence[str], separator: str | None
) -> tuple[list[str], _Rows]:
    """The names of the columns, and the rows below them."""
    line, first = rows[0]
    if not any(map(is_number, first)):
        return first, rows[1:]
    if comments and 2 * sum(map(is_number, first)) >= len(first):  # as NumPy's savetxt writes it
        named = [cell.strip() for cell in _cut(comments[-1].lstrip("# \t"), separator)]
        if len(named) == len(first) and not any(map(is_number, named)):
            return named, rows
    if all(is_number(cell) for cell in first if cell):
        raise InputError(
            f"Line {line} of {path} holds numbers ({listed(first)}) where the names of the "
            "columns are wanted: put them above it."
        )
    return first, rows[1:]


def _width(path: Path, header: list[str], rows: _Rows) -> int:
    """Count the columns; empty cells behind the last one are taken away."""
    filled = [max((i for i, cell in enumerate(cells, 1) if cell), default=0) for _, cells in rows]
    named = max((i for i, name in enumerate(header, 1) if name), default=0)
    # a column without a name is one where the header has a place for it
    width = max([named, *(count for count in filled if count <= len(header))])
    del header[width:]
    for (line, cells), count in zip(rows, filled, strict=True):
        del cells[max(width, count) :]
        if len(cells) != width:
            is_header = {max(width, count) for count in filled} == {len(cells)}
            repair = (
                "name each column"
                if is_header
                else "repair the line, or put a # before lines that are neither header nor rows"
            )
            raise BadFile(
                f"The header of {path} has {width} cells and line {line} has {len(cells)}: "
                f"{repair}."
            )
    return width


def _name(path: Path, name: str) -> str:
    """A column's name on one line, which can be printed."""
    name = " ".join(name.split())
    if not name.isprintable() or len(name) > _LONGEST_NAME:
        raise InputError(
            f"A column of {path} is called {quoted(name)}: give it a name that can be printed, of "
            f"at most {_LONGEST_NAME} characters."
        )
    return name
