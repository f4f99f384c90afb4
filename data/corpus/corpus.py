"""Where text comes from: files of several layouts, or a Hugging Face dataset.

A `Text` is a stream of paragraphs, an empty one after each document. Documents are numbered, so
that any part of a corpus can be named, and reading can go on where it stopped.
"""

from __future__ import annotations

import io
import itertools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from atb.data.corpus.layouts import SUFFIXES, documents_of
from atb.data.corpus.paragraphs import NULL_TEXT, NoDocuments
from atb.errors import BadFile, InputError
from atb.text_files import translate_read_errors

#: All documents.
EVERYTHING = range(2**62)
# A document beyond this many characters counts as several, so that memory stays bounded.
_LONGEST_DOCUMENT = 1 << 24
# Files in a note.
_MOST_NAMED = 5


class Text(ABC):
    """Paragraphs of numbered documents.

    Attributes:
        documents_read: Documents that were begun so far, of those asked for.
        null_texts: Documents so far whose text is null, which were left out.
    """

    def __init__(self, column: str) -> None:
        self.documents_read = 0
        self.null_texts = 0
        self._column = column

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What tells this text from another, as JSON."""

    @property
    @abstractmethod
    def share_read(self) -> float | None:
        """How much was read, from 0 to 1; None where that is not known."""

    @property
    @abstractmethod
    def notes(self) -> list[str]:
        """How it was read so far, and what was left out, as sentences."""

    @abstractmethod
    def _documents(self) -> Iterator[Iterable[str]]:
        """Documents with a text; each is gone through before the next is asked for."""

    def paragraphs(self, documents: range = EVERYTHING) -> Iterator[str]:
        """The paragraphs of some documents, once; an empty string ends each document.

        Args:
            documents: Their numbers, counted from 0.

        Raises:
            BadFile: A source is no text, its compression is damaged, or its layout broken.
        """
        count = 0
        for number, document in enumerate(self._documents()):
            if number >= documents.stop:
                return
            count += 1
            if number not in documents:
                for _ in document:
                    pass
                continue
            self.documents_read += 1
            yield from document
            yield ""
        if self.null_texts and not count:
            raise BadFile(
                f"The text in {self._column!r} is null in each of {self.null_texts} documents: "
                "name the field of the text with --column."
            )


class Corpus(Text):
    """The text of a file, or of all text files below a folder in the order of their names.

    Attributes:
        files: Paths of the files, in the order in which they are read.
        files_by_layout: The files that were begun so far, by the name of their layout.
        left_out: Files of the folder that are not read, with the reason in a few words.

    Raises:
        InputError: There is no such file or folder, or no text file in it.
    """

    def __init__(self, source: Path, *, column: str = "text") -> None:
        """Look at the source without reading it.

        Args:
            source: A file of a layout that `atb.data.corpus.layouts` knows, or a folder of them.
            column: Name of the field of the text in JSON, CSV, TSV and Parquet files.
        """
        super().__init__(column)
        self._source = source
        self.files_by_layout: dict[str, list[Path]] = {}
        self.left_out: dict[Path, str] = {}
        self.files = [source] if source.is_file() else self._files_below(source)
        self._bytes_before = 0
        self._bytes_total = max(1, sum(path.stat().st_size for path in self.files))
        self._raw: io.BufferedReader | None = None

    def _files_below(self, folder: Path) -> list[Path]:
        """The files of a folder that are text by their names; hidden ones are not."""
        if not folder.is_dir():
            raise InputError(f"There is no file or folder {folder}: check the path.")
        files = []
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                self.left_out[path] = "hidden"
            elif not SUFFIXES.fullmatch(path.name):
                self.left_out[path] = "no text by its ending"
            else:
                files.append(path)
        if not files:
            others = f", only {_named([*self.left_out])}" if self.left_out else ""
            raise InputError(
                f"No text in {folder}{others}: put files there that end in .txt, "
                ".jsonl, .json, .csv, .tsv or .parquet, or WikiExtractor's."
            )
        return files

    @property
    def identity(self) -> dict[str, Any]:
        """Names and sizes of the files, with their folders where a name occurs twice."""
        counts = Counter(path.name for path in self.files)
        names = [
            path.name if counts[path.name] == 1 else path.relative_to(self._source).as_posix()
            for path in self.files
        ]
        sizes = [path.stat().st_size for path in self.files]
        return {"files": dict(zip(names, sizes, strict=True))}

    @property
    def share_read(self) -> float:
        """How much of the files has been read, from 0 to 1."""
        here = self._raw.tell() if self._raw is not None and not self._raw.closed else 0
        return min(1.0, (self._bytes_before + here) / self._bytes_total)

    @property
    def notes(self) -> list[str]:
        """Which files were read as what so far, and what was left out, as sentences."""
        notes = [
            f"Read as {layout}: {_named(files)}." for layout, files in self.files_by_layout.items()
        ]
        for reason in dict.fromkeys(self.left_out.values()):
            files = [path for path, why in self.left_out.items() if why == reason]
            notes.append(f"Left out, {reason}: {_named(files)}.")
        if self.null_texts:
            notes.append(f"Left out, as their text is null: {self.null_texts} documents.")
        return notes

    def _documents(self) -> Iterator[Iterable[str]]:
        return _cut(itertools.chain.from_iterable(map(self._documents_of, self.files)))

    def _documents_of(self, path: Path) -> Iterator[Iterable[str]]:
        """The documents of one file; one of data without texts is left out beside others."""
        with translate_read_errors(path), path.open("rb") as self._raw:
            try:
                layout, documents = documents_of(path, self._raw, self._column)
            except NoDocuments as error:
                self.left_out[path] = f"without {self._column!r}"
                if set(self.files) <= self.left_out.keys():
                    raise BadFile(str(error)) from error
            else:
                self.files_by_layout.setdefault(layout, []).append(path)
                for document in documents:
                    self.null_texts += document is NULL_TEXT
                    yield document
        self._bytes_before += path.stat().st_size


def _named(files: list[Path]) -> str:
    shown = ", ".join(path.name for path in files[:_MOST_NAMED])
    more = len(files) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _cut(documents: Iterable[Iterable[str]]) -> Iterator[Iterable[str]]:
    """Documents of bounded length; each is to be gone through before the next is asked for."""
    for document in documents:
        left = iter(document)
        first = next(left, None)
        while first is not None:
            rest = _Bounded(itertools.chain([first], left))
            yield rest
            first = next(left, None) if rest.full else None


class _Bounded:
    """Paragraphs up to a number of characters."""

    def __init__(self, paragraphs: Iterator[str]) -> None:
        self._paragraphs = paragraphs
        self.full = False

    def __iter__(self) -> Iterator[str]:
        characters = 0
        for paragraph in self._paragraphs:
            yield paragraph
            characters += len(paragraph)
            if characters >= _LONGEST_DOCUMENT:
                self.full = True
                return
