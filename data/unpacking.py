"""Text files, packed or not, and one sentence for all that reading them can raise."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from atb.errors import BadFile

__all__ = ["PACKED", "errors_told", "opened_text", "unpacked"]

#: Endings of names of packed files.
PACKED = (".xz", ".gz", ".bz2")


@contextlib.contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """The text of a file, unpacked as its name tells; line ends as they are.

    Raises:
        BadFile: It is not UTF-8 text, or its compression is damaged.
    """
    with errors_told(path), path.open("rb") as raw, unpacked(path, raw) as text:
        yield text


@contextlib.contextmanager
def errors_told(path: Path) -> Iterator[None]:
    """Turn what reading a file can raise into a sentence.

    Raises:
        BadFile: Always in its place.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not UTF-8 text: pass text files in UTF-8.") from error
    except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise BadFile(f"{path} is damaged or not compressed ({error}): get it anew.") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be read ({error.strerror}): check the file.") from error


def unpacked(path: Path, raw: io.BufferedReader) -> TextIO:
    """The text of an opened file, unpacked as its name tells."""
    if path.suffix == ".xz":
        return lzma.open(raw, "rt", encoding="utf-8")  # type: ignore[return-value]
    if path.suffix == ".gz":
        return gzip.open(raw, "rt", encoding="utf-8")
    if path.suffix == ".bz2":
        return bz2.open(raw, "rt", encoding="utf-8")
    return io.TextIOWrapper(raw, "utf-8")
