"""Text files, packed or not, and one sentence for all that reading them can raise."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from atb.errors import BadFile
from atb.text_files import bad_byte, encoding_of, one_line, unpacked as unpacked_bytes

__all__ = ["PACKED", "opened_text", "translate_read_errors", "unpacked"]

#: Endings of names of packed files.
PACKED = (".xz", ".gz", ".bz2", ".zst")


@contextlib.contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """The text of a file, unpacked and decoded as its first bytes tell.

    Raises:
        BadFile: It is no text in UTF-8, or in what its byte-order mark says, or its compression is
            damaged.
    """
    with translate_read_errors(path), path.open("rb") as raw, unpacked(path, raw) as text:
        yield text


@contextlib.contextmanager
def translate_read_errors(path: Path) -> Iterator[None]:
    """Turn what reading a file can raise into a sentence.

    Raises:
        BadFile: Always in its place.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise BadFile(_about_bad_byte(path)) from error
    except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise BadFile(f"{path} is damaged ({one_line(error)}): get it anew.") from error
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise BadFile(f"{path} cannot be read ({reason}): check the file.") from error


def unpacked(path: Path, raw: io.BufferedReader) -> TextIO:
    """The text of an opened file, unpacked and decoded as its first bytes tell.

    Raises:
        BadFile: Its name promises that it is packed, and it is not.
    """
    stream = unpacked_bytes(raw)
    head = stream.peek(4)
    if stream is raw and head and path.suffix.lower() in PACKED:
        raise BadFile(
            f"{path} is not packed, although its name says so: rename it, or get it anew."
        )
    return io.TextIOWrapper(stream, encoding_of(head))


def _about_bad_byte(path: Path) -> str:
    with path.open("rb") as raw:
        stream = unpacked_bytes(raw)
        encoding = encoding_of(stream.peek(4))
        line, offset, byte = bad_byte(stream, encoding) or (1, 0, 0)
    name = encoding.removesuffix("-sig").upper()
    return (
        f"{path}, line {line} is not {name} text (byte 0x{byte:02x} at offset {offset}): convert "
        "the file to UTF-8, for example with iconv."
    )
