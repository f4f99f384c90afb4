"""Rows of tab-separated files and of datasets, and the labels in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.data.corpus import opened_text
from atb.data.tasks.rows import counted
from atb.errors import BadFile

__all__ = ["GivenRow", "label_of", "read_table"]

# How files say that a label is not known.
_UNKNOWN = {"", "-", "-1", "-1.0", "?", "na", "n/a", "nan", "none", "null"}


@dataclass(frozen=True, slots=True)
class GivenRow:
    """A row as it was given.

    Attributes:
        place: Its line or row in the source, such as `line 7`.
        fields: Its values by column.
    """

    place: str
    fields: Mapping[str, Any]


def read_table(
    path: Path, headless: Sequence[str] | None
) -> tuple[list[GivenRow], int, tuple[str, ...]]:
    """Rows of a tab-separated file without quoting.

    Args:
        path: The file, packed or not.
        headless: The columns of a file without a header, by whose number it is known; None where
            a header is always there.

    Returns:
        The rows, the number of lines that do not have the header's columns, and a remark on them.

    Raises:
        BadFile: Most lines do not have the columns of the header, or it names one twice.
    """
    rows: list[GivenRow] = []
    unlike: list[str] = []
    header: Sequence[str] | None = None
    with opened_text(path) as lines:
        # not the csv module, whose cells must be short and whose line ends are many
        for number, line in enumerate(lines, 1):
            cells = line.removeprefix("\ufeff" if number == 1 else "").rstrip("\r\n").split("\t")
            if not line.strip():
                continue
            if header is None:
                stripped = [cell.strip() for cell in cells]
                if headless is None or len(cells) != len(headless) or set(headless) <= {*stripped}:
                    header = _checked(path, stripped)
                    continue
                header = headless
            if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
                unlike.append(f"line {number}")
            else:
                rows.append(GivenRow(f"line {number}", dict(zip(header, cells, strict=False))))
    if not unlike:
        return rows, 0, ()
    found = counted(unlike, len(rows) + len(unlike), "lines")
    columns = f"the {len(header or ())} columns of the header"
    if len(unlike) > len(rows):
        raise BadFile(f"{path} has {found} that are not tab-separated with {columns}: get it anew.")
    return rows, len(unlike), (f"{path}: {found} were left out, since they have not {columns}.",)


def _checked(path: Path, header: list[str]) -> list[str]:
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise BadFile(f"{path} names the column {twice[0]!r:.60} twice: leave out one of them.")
    return header


def label_of(value: Any, labels: Sequence[str], largest: float) -> int | float | None:
    """A label as a number.

    Args:
        value: The name or the number of a class, or a score, as a file or a dataset has it.
        labels: Names of the classes in order; none for scores.
        largest: The largest score; the smallest is 0.

    Returns:
        The number of a class, a score, or None where the label is not known.

    Raises:
        ValueError: It is none of that.
    """
    said = str(value).strip()
    if said.lower() in _UNKNOWN:
        return None
    if said in labels:
        return labels.index(said)
    number = float(value if isinstance(value, bool) else said)
    if not labels and math.isfinite(number) and 0 <= number <= largest:
        return number
    if labels and number in range(len(labels)):
        return int(number)
    raise ValueError(f"{said} is no label")
