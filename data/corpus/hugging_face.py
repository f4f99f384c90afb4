"""Text from a Hugging Face dataset: a folder on disk, or one of the hub, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from atb.data.corpus.corpus import Text
from atb.data.corpus.paragraphs import NULL_TEXT, paragraphs_in
from atb.errors import InputError, MissingExtra

#: What names of datasets begin with, to tell them from paths.
HUGGING_FACE = "hf:"
# What `Dataset.save_to_disk` and `DatasetDict.save_to_disk` leave in a folder.
_SAVED = ("state.json", "dataset_dict.json")


def is_saved_dataset(folder: Path) -> bool:
    """Whether the datasets library saved this folder."""
    return any((folder / name).is_file() for name in _SAVED)


class HuggingFaceText(Text):
    """One split of a dataset, a document a row."""

    def __init__(
        self,
        name: str,
        *,
        configuration: str | None = None,
        split: str = "train",
        column: str = "text",
        revision: str | None = None,
    ) -> None:
        """Open the dataset; its rows are fetched while they are read.

        Args:
            name: Name of a dataset of the hub, or a folder: one that the datasets library saved,
                or one of data files.
            configuration: Name of one of the dataset's configurations, where it has several.
            split: Name of the part that is read.
            column: Name of the column of the text.
            revision: Commit or tag of a dataset of the hub.

        Raises:
            InputError: There is no such dataset, split or column, or the library is missing.
        """
        super().__init__(column)
        self._rows = open_dataset(name, configuration, split, revision)
        names = self._rows.column_names
        if names is not None and column not in names:
            raise InputError(
                f"The dataset {name} has no column {column!r}: name one of {', '.join(names)} "
                "with --column."
            )
        self._identity: dict[str, Any] = {
            "dataset": Path(name).name if Path(name).exists() else name,
            "configuration": configuration,
            "split": split,
            "column": column,
            "revision": revision,
            "fingerprint": getattr(self._rows, "_fingerprint", None),
        }
        self._count: int | None = getattr(self._rows, "num_rows", None)
        self._seen = 0

    @property
    def identity(self) -> dict[str, Any]:
        """Which split of which dataset it is."""
        return self._identity

    @property
    def share_read(self) -> float | None:
        """How many of the rows have been read, where it is known how many there are."""
        return self._seen / self._count if self._count else None

    @property
    def notes(self) -> list[str]:
        """What was left out so far, as sentences."""
        return (
            [f"Left out, as their text is null: {self.null_texts} rows."] if self.null_texts else []
        )

    def _documents(self) -> Iterator[Iterable[str]]:
        for number, row in enumerate(self._rows):
            self._seen += 1
            text = paragraphs_in(
                row.get(self._column), f"Row {number} of the dataset", self._column
            )
            self.null_texts += text is NULL_TEXT
            if text:
                yield text


def open_dataset(
    name: str, configuration: str | None, split: str, revision: str | None = None
) -> Any:
    """The rows of a split; those of the hub are fetched while they are read.

    Raises:
        InputError: There is no such dataset or split, or the library is missing.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "datasets", wanted_for="A Hugging Face dataset") from error
    datasets.disable_progress_bars()
    if is_saved_dataset(Path(name)):
        loaded = datasets.load_from_disk(name)
        if isinstance(loaded, datasets.DatasetDict):
            if split not in loaded:
                raise InputError(
                    f"{name} has no split {split!r}: choose one of {', '.join(loaded)}."
                )
            return loaded[split]
        return loaded
    try:
        return datasets.load_dataset(
            name, configuration, split=split, revision=revision, streaming=True
        )
    except (OSError, ValueError, ConnectionError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"Cannot open the dataset {name}, split {split} ({lines[0]}): check its name, "
            "--configuration and --split, and whether the hub can be reached."
        ) from error
