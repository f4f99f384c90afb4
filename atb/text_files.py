"""Text that others wrote: unpacked by its first bytes, decoded by its byte-order mark.

All that reading it can raise becomes one sentence.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from atb.errors import BadFile, MissingExtra
from atb.text import printable

#: Endings of names of packed files.
PACKED = (".xz", ".gz", ".bz2", ".zst")
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


@contextlib.contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """The text of a file, unpacked and decoded as its first bytes tell.

    Raises:
        BadFile: It is no text in UTF-8, or in what its byte-order mark says, or its compression is
            damaged.
    """
    with translate_read_errors(path), path.open("rb") as raw, unpacked_text(path, raw) as text:
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


def unpacked_text(path: Path, raw: io.BufferedReader) -> TextIO:
    """The text of an opened file, unpacked and decoded as its first bytes tell.

    Raises:
        BadFile: Its name promises that it is packed, and it is not.
    """
    stream = unpacked(raw)
    head = stream.peek(4)
    if stream is raw and head and path.suffix.lower() in PACKED:
        raise BadFile(
            f"{path} is not packed, although its name says so: rename it, or get it anew."
        )
    return io.TextIOWrapper(stream, encoding_of(head))


def _about_bad_byte(path: Path) -> str:
    with path.open("rb") as raw:
        stream = unpacked(raw)
        encoding = encoding_of(stream.peek(4))
        line, offset, byte = bad_byte(stream, encoding) or (1, 0, 0)
    name = encoding.removesuffix("-sig").upper()
    return (
        f"{path}, line {line} is not {name} text (byte 0x{byte:02x} at offset {offset}): convert "
        "the file to UTF-8, for example with iconv."
    )


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
