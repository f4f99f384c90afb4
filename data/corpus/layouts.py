"""Layouts of text files, each read as a stream of documents, each a stream of paragraphs.

Plain text: one paragraph a line, a blank line between documents. WikiExtractor's files: `<doc ...>`
and `</doc>` around each article, or JSON lines. JSON, CSV and TSV with a header, and Parquet: a
document a row, in Parquet a string or a list of strings. A text that is null is `NULL_TEXT`.
"""

from __future__ import annotations

import csv
import html
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from atb.data.corpus.json_texts import has_text, json_documents, whole_lines
from atb.data.corpus.paragraphs import NULL_TEXT, NoDocuments, paragraphs_in, paragraphs_of
from atb.errors import BadFile, MissingExtra
from atb.text_files import BYTE_ORDER_MARK, one_line, translate_read_errors, unpacked_text

_PACKED = r"(\.(gz|xz|bz2|zst))?"
#: Names of files that are text: with these endings, and `wiki_00` as WikiExtractor writes them.
SUFFIXES = re.compile(
    rf"(.+\.(txt|json|jsonl|ndjson|csv|tsv)|wiki_\d+){_PACKED}|.+\.parquet", re.IGNORECASE
)
_JSON = re.compile(rf".+\.(json|jsonl|ndjson){_PACKED}", re.IGNORECASE)
_DELIMITED = re.compile(rf".+\.(csv|tsv){_PACKED}", re.IGNORECASE)
_ARRAY = re.compile(r'\s*\[\s*\{\s*"')
_MARKUP = re.compile(r"\s*<(\?xml|!doctype|html|mediawiki)\b", re.IGNORECASE)
_DELIMITERS = (",", "\t", ";", "|")
# A text of more characters in one cell is a quotation mark that was not closed.
_LONGEST_CELL = 1 << 28
# A paragraph beyond this many characters is read in pieces, so that memory stays bounded.
_LONGEST_LINE = 1 << 20
# Rows of a Parquet file in memory at a time.
_ROWS_AT_ONCE = 1000

_Documents = Iterator[Iterable[str]]


def documents_of(path: Path, raw: io.BufferedReader, column: str) -> tuple[str, _Documents]:
    """The documents of an opened file, its layout told from its name and its beginning.

    Args:
        path: Named in errors; its ending tells the layout.
        raw: The file from its beginning.
        column: Name of the field of the text in JSON, CSV, TSV and Parquet.

    Returns:
        What the layout is called, and the documents.

    Raises:
        BadFile: It does not keep to its layout.
        NoDocuments: It is data that has no such column.
    """
    if raw.peek(4).startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        return "Parquet", _parquet_documents(path, raw, column)
    pieces: Iterator[str] = _lines(path, raw)
    begun = []
    for piece in pieces:
        begun.append(piece)
        if piece.strip():
            break
    else:
        return "an empty file", iter(())
    first = begun[-1]
    pieces = itertools.chain(begun, pieces)
    if first.startswith("<doc "):
        return "WikiExtractor's articles", _wiki_extractor_documents(pieces)
    is_wiki = path.name.lower().startswith("wiki_") and first.startswith("{")
    is_json = is_wiki or _ARRAY.match(first) or has_text(first, column)
    if _JSON.fullmatch(path.name) or is_json:
        return json_documents(path, first, pieces, column)
    if found := _DELIMITED.fullmatch(path.name):
        return found[1].upper(), _delimited_documents(path, pieces, column)
    if _MARKUP.match(first):
        raise BadFile(
            f"{path} is XML or a web page: extract its text first, a dump of Wikipedia's for "
            "example with WikiExtractor."
        )
    return "plain text", _plain_documents(pieces)


def _plain_documents(lines: Iterator[str]) -> _Documents:
    stripped = (line.strip() for line in lines)
    for is_text, document in itertools.groupby(stripped, bool):
        if is_text:
            yield document


def _wiki_extractor_documents(lines: Iterator[str]) -> _Documents:
    """Articles; their titles, which the header repeats as their first line, are left out."""
    for line in lines:
        if line.startswith("<doc "):
            inside = itertools.takewhile(lambda line: not line.startswith("</doc>"), lines)
            next(inside, None)
            yield (html.unescape(line.strip()) for line in inside if line.strip())


def _delimited_documents(path: Path, pieces: Iterator[str], column: str) -> _Documents:
    """The rows below a header, by the column of the text.

    Raises:
        NoDocuments: There is no such column.
    """
    lines = whole_lines(pieces)
    above, header = next((n, line) for n, line in enumerate(lines) if line.strip())
    delimiter = max(_DELIMITERS, key=lambda mark: _fit(header, mark, column))
    names = _cells(header, delimiter)
    if column not in names:
        raise NoDocuments(
            f"{path} has no column {column!r}: name one of {', '.join(names)[:200]} with --column."
        )
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    return _delimited_rows(path, reader, above + 1, names, names.index(column))


def _delimited_rows(
    path: Path, reader: Any, above: int, names: list[str], place: int
) -> _Documents:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    try:
        for cells in reader:
            while len(cells) > len(names) and not cells[-1].strip():
                cells.pop()
            if cells and len(cells) != len(names):
                raise BadFile(
                    f"{path}, line {above + reader.line_num} has {len(cells)} cells and the header "
                    f"has {len(names)}: put texts with separators in quotation marks."
                )
            # a text that begins with a quotation mark would swallow the rows up to the next one
            if reader.dialect.delimiter == "\t" and any("\n" in c and "\t" in c for c in cells):
                raise csv.Error("one goes over several lines and holds tabs")
            if cells:
                yield paragraphs_of(cells[place]) if cells[place].strip() else NULL_TEXT
    except csv.Error as error:
        raise BadFile(
            f"{path}, line {above + reader.line_num} cannot be cut into cells ({one_line(error)}): "
            "double the quotation marks within texts."
        ) from error


def _fit(header: str, delimiter: str, column: str) -> tuple[bool, int]:
    names = _cells(header, delimiter)
    return column in names, len(names)


def _cells(header: str, delimiter: str) -> list[str]:
    reader = csv.reader([header], delimiter=delimiter, skipinitialspace=True)
    return [name.strip() for name in next(reader, [])]


def _lines(path: Path, raw: io.BufferedReader) -> Iterator[str]:
    """Lines of an opened file, in pieces of bounded size."""
    # told here and not where the file is opened: documents are read outside of that block
    with translate_read_errors(path), unpacked_text(path, raw) as text:
        number = 1
        while line := text.readline(_LONGEST_LINE):
            if "\0" in line:
                raise BadFile(
                    f"{path}, line {number} holds a NUL character: it is binary, or UTF-16 without "
                    "a byte-order mark; pass text in UTF-8."
                )
            number += line.endswith("\n")
            # also within a file, where several that began with one were joined
            yield line.replace(BYTE_ORDER_MARK, "")


def _parquet_documents(path: Path, raw: io.BufferedReader, column: str) -> _Documents:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", wanted_for="A Parquet file") from error
    try:
        file = parquet.ParquetFile(raw)
        _check_parquet_column(path, file.schema_arrow, column)
        number = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[column]):
            for text in batch.column(0).to_pylist():
                number += 1
                yield paragraphs_in(text, f"{path}, row {number}", column)
    except UnicodeDecodeError as error:
        raise BadFile(
            f"{path} has a text in {column!r} that is not UTF-8: write the file again."
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise BadFile(
            f"{path} is not a readable Parquet file ({one_line(error)}): get it anew."
        ) from error


def _check_parquet_column(path: Path, schema: Any, column: str) -> None:
    """Make sure that there is one such column, and that it holds text."""
    from pyarrow import types as is_type

    if schema.names.count(column) != 1:
        how_many = "several columns" if column in schema.names else "no column"
        raise BadFile(
            f"{path} has {how_many} {column!r}: name one of {', '.join(schema.names)[:200]} with "
            "--column."
        )
    kind = schema.field(column).type
    if is_type.is_list(kind) or is_type.is_large_list(kind) or is_type.is_fixed_size_list(kind):
        kind = kind.value_type
    if is_type.is_dictionary(kind):
        kind = kind.value_type
    texts = (is_type.is_string, is_type.is_large_string, is_type.is_string_view, is_type.is_null)
    if not any(is_text(kind) for is_text in texts):
        raise BadFile(
            f"The column {column!r} of {path} holds {schema.field(column).type} and no text: name "
            "another one with --column."
        )
