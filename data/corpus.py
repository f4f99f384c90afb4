"""Where text comes from: files of several layouts, or a Hugging Face dataset.

A `Text` is a stream of paragraphs, an empty one after each document. Documents are numbered, so
that any part of a corpus can be named, and reading can go on where it stopped.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from atb.data.layouts import PARQUET, SUFFIXES, documents_of, parquet_documents
from atb.data.unpacking import errors_told, unpacked
from atb.errors import BadFile, InputError

__all__ = ["EVERYTHING", "Corpus", "Text"]

#: All documents.
EVERYTHING = range(2**62)
# A paragraph beyond this many characters is read in pieces, so that memory stays bounded.
_LONGEST_LINE = 1 << 20
# A document beyond this many characters counts as several, for the same reason.
_LONGEST_DOCUMENT = 1 << 24


class Text(Protocol):
    """Paragraphs of numbered documents: `paragraphs` is gone through once."""

    documents_read: int

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this text from another, as JSON."""
        ...

    @property
    def share_read(self) -> float | None:
        """How much was read, from 0 to 1; None where that is not known."""
        ...

    def paragraphs(self, documents: range = EVERYTHING) -> Iterator[str]:
        """The paragraphs of some documents; an empty string ends each document."""
        ...


class Corpus:
    """The text of a file, or of all text files below a folder in the order of their names.

    Attributes:
        files: What is read, in order.
        documents_read: Documents that were begun so far, of those asked for.

    Raises:
        InputError: There is no such file or folder, or no text file in it.
    """

    def __init__(self, source: Path, *, column: str = "text") -> None:
        """Look at the source without reading it.

        Args:
            source: A file of a layout that `atb.data.layouts` knows, or a folder of them.
            column: Where the text is in JSON lines and Parquet files.
        """
        if source.is_dir():
            self.files = [
                path
                for path in sorted(source.rglob("*"))
                if path.is_file() and SUFFIXES.fullmatch(path.name)
            ]
            if not self.files:
                raise InputError(
                    f"No text in {source}: put files there that end in .txt, .jsonl or .parquet, "
                    "or WikiExtractor's."
                )
        elif source.is_file():
            self.files = [source]
        else:
            raise InputError(f"There is no file or folder {source}: check the path.")
        self.documents_read = 0
        self._column = column
        self._bytes_before = 0
        self._bytes_total = max(1, sum(path.stat().st_size for path in self.files))
        self._raw: io.BufferedReader | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Names and sizes of the files."""
        return {"files": {path.name: path.stat().st_size for path in self.files}}

    @property
    def share_read(self) -> float:
        """How much of the files has been read, from 0 to 1."""
        here = self._raw.tell() if self._raw is not None and not self._raw.closed else 0
        return min(1.0, (self._bytes_before + here) / self._bytes_total)

    def paragraphs(self, documents: range = EVERYTHING) -> Iterator[str]:
        """The paragraphs of some documents; an empty string ends each document.

        Args:
            documents: Their numbers, counted from 0 across all files.

        Raises:
            BadFile: A file is not UTF-8 text, its compression is damaged, or its layout broken.
        """
        everything = itertools.chain.from_iterable(map(self._documents, self.files))
        for number, document in enumerate(_cut(everything)):
            if number >= documents.stop:
                return
            if number not in documents:
                for _ in document:
                    pass
                continue
            self.documents_read += 1
            yield from document
            yield ""

    def _documents(self, path: Path) -> Iterator[Iterable[str]]:
        """The documents of one file."""
        with errors_told(path), path.open("rb") as self._raw:
            if path.suffix == PARQUET:
                yield from parquet_documents(path, self._raw, self._column)
            else:
                yield from documents_of(path, _lines(path, self._raw), self._column)
        self._bytes_before += path.stat().st_size


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


def _lines(path: Path, raw: io.BufferedReader) -> Iterator[str]:
    """Lines of an opened file, in pieces of bounded size."""
    # told here and not where the file is opened: documents are read outside of that block
    with errors_told(path), unpacked(path, raw) as text:
        while line := text.readline(_LONGEST_LINE):
            if "\0" in line:
                raise BadFile(f"{path} is binary, not text: pass text files in UTF-8.")
            yield line
