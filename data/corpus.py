"""Reading a corpus: text files, plain or compressed, one paragraph a line, documents apart."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from atb.errors import BadFile, InputError

__all__ = ["Corpus"]

_SUFFIXES = (".txt", ".txt.gz", ".txt.xz")
# A paragraph beyond this many characters is read in pieces, so that memory stays bounded.
_LONGEST_LINE = 1 << 20


class Corpus:
    """The paragraphs of a file, or of all text files below a folder in the order of their names.

    Attributes:
        files: What is read, in order.
        documents_read: Documents that were begun so far.

    Raises:
        InputError: There is no such file or folder, or no text file in it.
    """

    def __init__(self, source: Path, *, documents: range | None = None) -> None:
        """Look at the source without reading it.

        Args:
            source: A text file (`.gz` and `.xz` are unpacked), or a folder of them.
            documents: Numbers of the documents that are read, counted from 0 across all files.
        """
        if source.is_dir():
            self.files = [
                path
                for path in sorted(source.rglob("*"))
                if path.name.endswith(_SUFFIXES) and path.is_file()
            ]
            if not self.files:
                raise InputError(
                    f"No text in {source}: put files that end in {', '.join(_SUFFIXES)} there."
                )
        elif source.is_file():
            self.files = [source]
        else:
            raise InputError(f"There is no file or folder {source}: check the path.")
        self.documents_read = 0
        self._documents = documents
        self._bytes_before = 0
        self._bytes_total = max(1, sum(path.stat().st_size for path in self.files))
        self._raw: io.BufferedReader | None = None

    @property
    def share_read(self) -> float:
        """How much of the files has been read, from 0 to 1."""
        here = self._raw.tell() if self._raw is not None and not self._raw.closed else 0
        return min(1.0, (self._bytes_before + here) / self._bytes_total)

    def paragraphs(self) -> Iterator[str]:
        """The paragraphs; an empty string ends a document.

        Raises:
            BadFile: A file is not UTF-8 text, or its compression is damaged.
        """
        number = -1
        for path in self.files:
            inside = False
            for line in self._lines(path):
                paragraph = line.strip()
                if paragraph and not inside:
                    number += 1
                    inside = True
                    if self._documents is not None and number >= self._documents.stop:
                        return
                    self.documents_read += self._wanted(number)
                elif not paragraph and inside:
                    inside = False
                    yield ""
                if paragraph and self._wanted(number):
                    yield paragraph
            if inside:
                yield ""
            self._bytes_before += path.stat().st_size

    def _wanted(self, number: int) -> bool:
        return self._documents is None or number in self._documents

    def _lines(self, path: Path) -> Iterator[str]:
        """Lines of one file, in pieces of bounded size."""
        try:
            with path.open("rb") as self._raw, _unpacked(path, self._raw) as text:
                while line := text.readline(_LONGEST_LINE):
                    if "\0" in line:
                        raise BadFile(f"{path} is binary, not text: pass text files in UTF-8.")
                    yield line
        except UnicodeDecodeError as error:
            raise BadFile(f"{path} is not UTF-8 text: pass text files in UTF-8.") from error
        except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise BadFile(f"{path} is damaged or not compressed ({error}): get it anew.") from error
        except OSError as error:
            raise BadFile(f"{path} cannot be read ({error.strerror}): check the file.") from error


def _unpacked(path: Path, raw: io.BufferedReader) -> TextIO:
    """The text of an opened file, unpacked as its name tells."""
    if path.suffix == ".xz":
        return lzma.open(raw, "rt", encoding="utf-8")  # type: ignore[return-value]
    if path.suffix == ".gz":
        return gzip.open(raw, "rt", encoding="utf-8")
    return io.TextIOWrapper(raw, "utf-8")
