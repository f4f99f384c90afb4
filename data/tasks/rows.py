"""Rows of a task: of a file in a folder or of a Hugging Face dataset, and the labels in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.data.corpus import HUGGING_FACE, is_saved_dataset, open_dataset
from atb.errors import BadFile, InputError
from atb.text_files import PACKED, opened_text

# The hub's words for our splits.
_HUB_SPLITS = {"dev": "validation", "train": "train", "test": "test"}
# How files say that a label is not known.
_UNKNOWN = {"", "-", "-1", "-1.0", "?", "na", "n/a", "nan", "none", "null"}


def hub_rows(source: str, configuration: str | None, split: str) -> list[dict[str, Any]] | None:
    """All rows of a split of a dataset; None where the source is a folder of published files.

    Args:
        source: `hf:NAME`, or a folder that the datasets library saved.
        configuration: Name of one of the dataset's configurations, such as a task of GLUE.
        split: In our words: train, dev, test, with `_matched` and the like behind.

    Raises:
        InputError: There is no such dataset or split.
    """
    saved = is_saved_dataset(Path(source))
    if not source.startswith(HUGGING_FACE) and not saved:
        return None
    part, underscore, rest = split.partition("_")
    rows = open_dataset(
        source.removeprefix(HUGGING_FACE),
        None if saved else configuration,
        _HUB_SPLITS[part] + underscore + rest,
    )
    return [dict(row) for row in rows]


def find_split(folder: Path, split: str, endings: tuple[str, ...]) -> Path:
    """The file of a split: by its exact name, or the only one that has the split in its name.

    Raises:
        InputError: There is no such folder or file, or more than one.
    """
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {folder}: pass the folder of the task's published files, or "
            "hf:NAME for a Hugging Face dataset."
        )
    suffixes = tuple(ending + packed for ending in endings for packed in ("", *PACKED))
    files = sorted(path for path in folder.iterdir() if path.name.endswith(suffixes))
    exact = [path for path in files if path.name in {split + suffix for suffix in suffixes}]
    found = exact or [path for path in files if split in path.name]
    if len(found) != 1:
        named = ", ".join(path.name for path in found or files) or "nothing"
        raise InputError(
            f"{folder} holds {'several files' if found else 'no file'} for the split {split} "
            f"({named}): name the one to use {split}{endings[0]}."
        )
    return found[0]


def counted(places: Sequence[str], total: int, what: str) -> str:
    """How many of all, and the first: `2 of 90 rows (the first: line 7)`."""
    return f"{len(places):,} of {total:,} {what} (the first: {places[0]})"


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
