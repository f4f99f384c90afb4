"""What stands in the field of a text becomes paragraphs: a string, a list of strings, nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atb.errors import BadFile

#: Stands for the paragraphs of a document whose text is null; told apart by identity.
NULL_TEXT: tuple[str, ...] = ()


class NoDocuments(BadFile):
    """A file of data that holds no texts, such as a description of the files beside it."""


def paragraphs_of(text: str) -> list[str]:
    """The lines of one document that are not blank."""
    return [line.strip() for line in _with_whole_characters(text).splitlines() if line.strip()]


def paragraphs_in(value: Any, place: str, column: str) -> Iterable[str]:
    """The paragraphs of a document; `NULL_TEXT` where there is none.

    Args:
        value: What stands in its field: a string or null, or a list of these.
        place: Name of the row or line, as the beginning of a sentence.
        column: Name of the field.

    Raises:
        BadFile: It is something else.
    """
    if value is None:
        return NULL_TEXT
    parts = value if isinstance(value, list) else [value]
    if not all(part is None or isinstance(part, str) for part in parts):
        raise BadFile(
            f"{place} has no text in {column!r} but {repr(value)[:40]}: name the field of the "
            "text with --column."
        )
    return [line for part in parts if part is not None for line in paragraphs_of(part)]


def _with_whole_characters(text: str) -> str:
    r"""JSON can hold halves of characters (`\ud83d`), which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
