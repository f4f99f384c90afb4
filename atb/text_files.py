"""Text that others wrote: unpacked by its first bytes, decoded by its byte-order mark."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Callable
from typing import BinaryIO, cast

from atb.errors import MissingExtra
from atb.text import printable

__all__ = ["BYTE_ORDER_MARK", "bad_byte", "encoding_of", "one_line", "unpacked"]

#: As a character of the text, where files that began with one were joined.
BYTE_ORDER_MARK = "\ufeff"
# UTF-32 before UTF-16, whose mark is the beginning of its own.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 1 << 20


def unpacked(raw: io.BufferedReader) -> io.BufferedReader:
    """The bytes of an opened file, unpacked where its first ones say that it is packed.

    The name of a file is not asked: it may lack the ending, or have one in upper case.

    Raises:
        MissingExtra: The package that unpacks this kind is not installed.
    """
    head = raw.peek(8)
    for magic, opener in _PACKED:
        if head.startswith(magic):
            return opener(raw)
    return raw


def encoding_of(head: bytes) -> str:
    """The encoding that a text's first four bytes announce; UTF-8 where there is no mark."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "utf-8")


def bad_byte(stream: BinaryIO, encoding: str) -> tuple[int, int, int] | None:
    """Where a text cannot be decoded.

    Args:
        stream: The text from its beginning, gone through once.
        encoding: Of the text.

    Returns:
        The line, counted from 1, the offset in bytes and the byte there; None where all is well.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line, read, ended = 1, 0, False
    while not ended:
        chunk = stream.read(_CHUNK_BYTES)
        read, ended = read + len(chunk), not chunk
        try:
            line += decoder.decode(chunk, final=ended).count("\n")
        except UnicodeDecodeError as error:
            sound = error.object[: error.start].decode(encoding, "ignore")
            offset = read - len(error.object) + error.start
            return line + sound.count("\n"), offset, error.object[error.start]
    return None


def one_line(error: BaseException) -> str:
    """What a library said, short and printable, to stand within a sentence of ours."""
    lines = str(error).splitlines() or [type(error).__name__]
    return printable(lines[0])[:200]


def _zstandard(raw: io.BufferedReader) -> io.BufferedReader:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", wanted_for=f"Unpacking {raw.name}") from error
    return io.BufferedReader(pa.CompressedInputStream(raw, "zstd"))


_PACKED: tuple[tuple[bytes, Callable[[io.BufferedReader], io.BufferedReader]], ...] = (
    (b"\x1f\x8b", lambda raw: cast(io.BufferedReader, gzip.GzipFile(fileobj=raw))),
    (b"BZh", lambda raw: cast(io.BufferedReader, bz2.BZ2File(raw))),
    (b"\xfd7zXZ\0", lambda raw: cast(io.BufferedReader, lzma.LZMAFile(raw))),  # noqa: SIM115
    (b"\x28\xb5\x2f\xfd", _zstandard),
)
