"""Texts in JSON: a document a line, or an element of an array or of a list in an object."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from atb.data.corpus.paragraphs import NoDocuments, paragraphs_in
from atb.errors import BadFile
from atb.text_files import one_line

# What the decoder raises: too large a number and too deep a nesting are no JSONDecodeError.
_ERRORS = (ValueError, RecursionError)
_BLANKS = re.compile(r"[ \t\n\r]*")
_LINES = re.compile(r".+\.(jsonl|ndjson)(\.\w+)?|wiki_\d+(\.\w+)?", re.IGNORECASE)

_NO_JSON = object()
_Documents = Iterator[Iterable[str]]


def json_documents(
    path: Path, first: str, pieces: Iterator[str], column: str
) -> tuple[str, _Documents]:
    """The documents of a JSON file, whose layout its content tells.

    An array is read element by element and lines one by one; another object is read as a whole.

    Args:
        path: Named in errors; its ending may say that it holds lines.
        first: The first piece that is not blank.
        pieces: Of the file's text from its beginning: lines, long ones in pieces.
        column: Name of the field of a document's text.

    Returns:
        What the layout is called, and the documents.

    Raises:
        BadFile: It is no JSON.
        NoDocuments: It is one object without texts.
    """
    if first.lstrip().startswith("["):
        elements = ((f"{path}, element {n}", v) for n, v in enumerate(_items(path, pieces), 1))
        return "JSON array", _documents(elements, column)
    numbered = enumerate(whole_lines(pieces), 1)
    lines = ((number, line) for number, line in numbered if line.strip())
    if _LINES.fullmatch(path.name) and first.strip() != "{":
        values = _values_of_lines(path, lines)
        return "JSON lines", (_document(value, place, column) for place, value in values)
    begun = [next(lines)]
    if _parsed(begun[0][1]) is not _NO_JSON:
        begun += itertools.islice(lines, 1)
        if len(begun) > 1:
            values = _values_of_lines(path, itertools.chain(begun, lines))
            return "JSON lines", _documents(values, column)
    return "JSON object", _of_object(path, itertools.chain(begun, lines), column)


def has_text(line: str, column: str) -> bool:
    """Whether a line is a JSON object with this field."""
    value = _parsed(line)
    return isinstance(value, dict) and column in value


def whole_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Whole lines, of which long ones come in pieces."""
    parts: list[str] = []
    for piece in pieces:
        parts.append(piece)
        if piece.endswith("\n"):
            yield "".join(parts)
            parts = []
    if parts:
        yield "".join(parts)


def _parsed(text: str) -> Any:
    """The value of a text that is JSON; `_NO_JSON` of another one."""
    try:
        return json.loads(text)
    except _ERRORS:
        return _NO_JSON


def _values_of_lines(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[str, Any]]:
    for number, line in lines:
        try:
            value = json.loads(line)
        except _ERRORS as error:
            raise _no_json(path, number, error) from error
        yield f"{path}, line {number}", value


def _documents(values: Iterator[tuple[str, Any]], column: str) -> _Documents:
    """The documents of values, each with its place.

    Raises:
        NoDocuments: The first one has no text, so that the file describes something else.
    """
    begun = list(itertools.islice(values, 1))
    if begun and not _is_document(begun[0][1], column):
        raise NoDocuments(_without(begun[0][0], column))
    return (_document(value, place, column) for place, value in itertools.chain(begun, values))


def _of_object(path: Path, lines: Iterable[tuple[int, str]], column: str) -> _Documents:
    """The texts of an object that may go over many lines, or of several one after another."""
    numbers, texts = zip(*lines, strict=True)
    text, place, passed, values = "".join(texts), 0, 0, []
    while place < len(text):
        where = f"{path}, line {numbers[passed]}"
        try:
            value, end = json.JSONDecoder().raw_decode(text, place)
        except _ERRORS as error:
            passed += text.count("\n", place, getattr(error, "pos", place))
            raise _no_json(path, numbers[min(passed, len(numbers) - 1)], error) from error
        values.append((where, value))
        end = _BLANKS.match(text, end).end()  # type: ignore[union-attr]  # it always matches
        passed, place = passed + text.count("\n", place, end), end
    if len(values) > 1:
        return (_document(value, where, column) for where, value in values)
    return _within(path, values[0][1], column)


def _within(path: Path, value: Any, column: str) -> _Documents:
    """The documents of one object: its own text, its texts by key, or the one list of objects.

    Raises:
        NoDocuments: There are none.
        BadFile: There are several lists.
    """
    if isinstance(value, dict) and column in value:
        texts = value[column]
        # as pandas writes a column
        found = texts.items() if isinstance(texts, dict) else [(0, texts)]
        return (paragraphs_in(text, f"{path}, text {key}", column) for key, text in found)
    items = value.items() if isinstance(value, dict) else ()
    lists = {
        key: rows
        for key, rows in items
        if isinstance(rows, list) and rows and isinstance(rows[0], dict) and column in rows[0]
    }
    if len(lists) > 1:
        raise BadFile(
            f"{path} holds several lists of texts ({', '.join(map(repr, lists))}): keep one in a "
            "file."
        )
    if not lists:
        raise NoDocuments(
            f"{path} is JSON without {column!r} and without a list of objects that have it: name "
            "the field of the text with --column."
        )
    ((key, rows),) = lists.items()
    return (
        _document(row, f"{path}, element {number} of {key!r}", column)
        for number, row in enumerate(rows, 1)
    )


def _items(path: Path, pieces: Iterator[str]) -> Iterator[Any]:
    """Elements of an array, with no more of it in memory than a piece or an element."""
    text, place, line = "", 0, 1
    wanted = "["
    while True:
        place = _BLANKS.match(text, place).end()  # type: ignore[union-attr]  # it always matches
        failed: Exception | str = f"it ends where {wanted} is wanted"
        if place < len(text):
            if wanted == "end":
                raise _no_json(path, line + text.count("\n", 0, place), "it goes on after its end")
            if text[place] == "]" and wanted != "[":
                wanted, place = "end", place + 1
                continue
            if wanted in ("[", ","):
                if text[place] != wanted:
                    where = line + text.count("\n", 0, place)
                    raise _no_json(path, where, f"{wanted} is wanted")
                wanted, place = "element", place + 1
                continue
            try:
                value, place = json.JSONDecoder().raw_decode(text, place)
            except _ERRORS as error:
                failed = error
            else:
                yield value
                wanted = ","
                continue
        more = _more(pieces, len(text) - place)
        if not more:
            if wanted == "end":
                return
            raise _no_json(path, line + text.count("\n", 0, place), failed)
        line += text.count("\n", 0, place)
        text, place = text[place:] + more, 0


def _more(pieces: Iterator[str], least: int) -> str:
    """At least as much text again as there was, so that long elements are not tried too often."""
    found, length = [], 0
    for piece in pieces:
        found.append(piece)
        length += len(piece)
        if length >= least:
            break
    return "".join(found)


def _is_document(value: Any, column: str) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and column in value)


def _document(value: Any, place: str, column: str) -> Iterable[str]:
    if not _is_document(value, column):
        raise BadFile(_without(place, column))
    return paragraphs_in(value if isinstance(value, str) else value[column], place, column)


def _without(place: str, column: str) -> str:
    return f"{place} has no {column!r}: name the field of the text with --column."


def _no_json(path: Path, line: int, reason: Exception | str) -> BadFile:
    said = reason if isinstance(reason, str) else getattr(reason, "msg", one_line(reason))
    return BadFile(f"{path}, line {line} is not JSON ({said}): repair it.")
