"""Layouts of text files, each read as a stream of documents, each a stream of paragraphs.

Plain text: one paragraph a line, a blank line between documents. WikiExtractor's files: `<doc ...>`
and `</doc>` around each article, or JSON lines. JSON lines and Parquet: a document a row.
"""

from __future__ import annotations

import html
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from atb.errors import BadFile, MissingExtra

__all__ = ["PARQUET", "SUFFIXES", "documents_of", "paragraphs_of", "parquet_documents"]

#: Names of files that are text: with these endings, and `wiki_00` as WikiExtractor writes them.
SUFFIXES = re.compile(
    r"(.+\.(txt|jsonl|ndjson)|wiki_\d+)(\.(gz|xz|bz2))?|.+\.parquet", re.IGNORECASE
)
PARQUET = ".parquet"
_JSON_LINES = re.compile(r".+\.(jsonl|ndjson)(\.(gz|xz|bz2))?", re.IGNORECASE)
# Rows of a Parquet file in memory at a time.
_ROWS_AT_ONCE = 1000


def documents_of(path: Path, lines: Iterator[str], column: str) -> Iterator[Iterable[str]]:
    """The documents of a text file, its layout told from its name and its first line.

    Args:
        path: For errors.
        lines: Of the file.
        column: Where the text is in JSON lines.

    Raises:
        BadFile: It does not keep to its layout.
    """
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return
    lines = itertools.chain([first], lines)
    if first.startswith("<doc "):
        yield from _wiki_extractor_documents(lines)
    elif _JSON_LINES.fullmatch(path.name) or (
        path.name.startswith("wiki_") and first.startswith("{")
    ):
        yield from _json_documents(path, lines, column)
    else:
        yield from _plain_documents(lines)


def paragraphs_of(text: str) -> list[str]:
    """The lines of one document that are not blank."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _plain_documents(lines: Iterator[str]) -> Iterator[Iterable[str]]:
    stripped = (line.strip() for line in lines)
    for is_text, document in itertools.groupby(stripped, bool):
        if is_text:
            yield document


def _wiki_extractor_documents(lines: Iterator[str]) -> Iterator[Iterable[str]]:
    """Articles; their titles, which the header repeats as their first line, are left out."""
    for line in lines:
        if line.startswith("<doc "):
            inside = itertools.takewhile(lambda line: not line.startswith("</doc>"), lines)
            next(inside, None)
            yield (html.unescape(line.strip()) for line in inside if line.strip())


def _json_documents(path: Path, lines: Iterator[str], column: str) -> Iterator[Iterable[str]]:
    for number, line in enumerate(_whole(lines), start=1):
        if line.strip():
            yield paragraphs_of(_text_of(path, number, line, column))


def _whole(pieces: Iterator[str]) -> Iterator[str]:
    """Whole lines, of which long ones come in pieces."""
    line = ""
    for piece in pieces:
        line += piece
        if line.endswith("\n"):
            yield line
            line = ""
    yield line


def _text_of(path: Path, number: int, line: str, column: str) -> str:
    try:
        text: Any = json.loads(line)[column]
    except json.JSONDecodeError as error:
        raise BadFile(f"{path}, line {number} is not JSON ({error.msg}): repair it.") from error
    except (KeyError, TypeError) as error:
        raise BadFile(
            f"{path}, line {number} has no {column!r}: name the field of the text with --column."
        ) from error
    if not isinstance(text, str):
        raise BadFile(f"{path}, line {number}: {column!r} is no text but {text!r:.40}.")
    return text


def parquet_documents(path: Path, raw: io.BufferedReader, column: str) -> Iterator[Iterable[str]]:
    """The rows of a Parquet file, read in pieces.

    Raises:
        BadFile: It is no Parquet file, or has no such column of texts.
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", wanted_for="A Parquet file") from error
    try:
        file = parquet.ParquetFile(raw)
        if column not in file.schema_arrow.names:
            raise BadFile(
                f"{path} has no column {column!r}: name one of "
                f"{', '.join(file.schema_arrow.names)} with --column."
            )
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[column]):
            for text in batch.column(0).to_pylist():
                yield paragraphs_of(str(text or ""))
    except pa.ArrowInvalid as error:
        raise BadFile(f"{path} is not a readable Parquet file ({error}).") from error
