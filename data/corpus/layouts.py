"""Layouts of text files, each read as a stream of documents, each a stream of paragraphs.

Plain text: one paragraph a line, a blank line between documents. WikiExtractor's files: `<doc ...>`
and `</doc>` around each article, or JSON lines. JSON, CSV and TSV with a header, and Parquet: a
document a row. A text that is null is `NULL_TEXT`.
"""

from __future__ import annotations

import csv
import html
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from atb.data.corpus.json_texts import has_text, json_documents, whole_lines
from atb.data.corpus.paragraphs import NULL_TEXT, NoDocuments, paragraphs_of
from atb.errors import BadFile
from atb.text_files import one_line

__all__ = ["SUFFIXES", "documents_of"]

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

_Documents = Iterator[Iterable[str]]


def documents_of(path: Path, pieces: Iterator[str], column: str) -> tuple[str, _Documents]:
    """The documents of a text file, its layout told from its name and its first line.

    Args:
        path: Named in errors; its ending tells the layout.
        pieces: Of the file's text: lines, long ones in pieces.
        column: Name of the field of the text in JSON, CSV and TSV.

    Returns:
        What the layout is called, and the documents.

    Raises:
        BadFile: It does not keep to its layout.
        NoDocuments: It is data that has no such column.
    """
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
