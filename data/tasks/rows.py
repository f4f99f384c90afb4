"""Rows of a task: the file of a split in a folder, or a split of a Hugging Face dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atb.data.corpus import HUGGING_FACE, PACKED, is_saved_dataset, open_dataset
from atb.errors import InputError

__all__ = ["counted", "find_split", "hub_rows"]

# The hub's words for our splits.
_HUB_SPLITS = {"dev": "validation", "train": "train", "test": "test"}


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
