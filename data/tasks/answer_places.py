"""Where the answer to a question stands in its paragraph, whatever its offset counts.

`answer_start` should count characters. Real files also hold offsets in UTF-16 units or in bytes,
offsets that are off by the white space around an answer, and offsets that mean nothing (-1, 0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

__all__ = ["place_of", "placed_answers"]

_Place = tuple[int, int]
# Encodings in whose units offsets are counted elsewhere, and bytes of a unit.
_UNITS = (("utf-16-le", 2), ("utf-8", 1))


def placed_answers(
    context: str, answers: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Answers whose place is beyond doubt, and the others.

    Args:
        context: Text of the paragraph.
        answers: Each with its `text`, and with `start`, counted in characters.

    Returns:
        Those that stand at their start, then those that stand elsewhere, with the paragraph's own
        text and the right start; and, as they were given, those whose place stays unclear.
    """
    exact, moved, unclear = [], [], []
    for answer in answers:
        place = place_of(context, answer["text"], answer["start"])
        if place is None:
            unclear.append(dict(answer))
        elif place == (answer["start"], answer["start"] + len(answer["text"])):
            exact.append(dict(answer))
        else:
            moved.append({"text": context[place[0] : place[1]], "start": place[0]})
    return exact + moved, unclear


def place_of(context: str, text: str, start: int) -> _Place | None:
    """First character of an answer and the one behind its last.

    In this order: the text as it is at its start; the text there but for the white space in it and
    around it, or at the start read in UTF-16 units or bytes; the only place where the text
    stands at all; at its start in upper or lower case, where it stands nowhere as it is.

    Returns:
        None where no place fits, or more than one.
    """
    words = text.split()
    if not words:
        return None
    if start >= 0 and context.startswith(text, start):
        return start, start + len(text)
    pattern = r"\s+".join(map(re.escape, words))
    starts = [start, *_in_characters(context, start)] if 0 <= start <= len(context) * 4 else []
    found = _at(context, pattern, starts) or _everywhere(context, pattern)
    if not found and start in range(len(context)):
        found = _at(context, f"(?i:{pattern})", [start])
    return found.pop() if len(found) == 1 else None


def _in_characters(context: str, start: int) -> Iterator[int]:
    """An offset that counts other units, where it does not end within a character."""
    for encoding, size in _UNITS:
        try:
            yield len(context.encode(encoding)[: start * size].decode(encoding))
        except UnicodeDecodeError:
            continue


def _at(context: str, pattern: str, starts: Sequence[int]) -> set[_Place]:
    """Where a pattern stands at one of these characters, or behind the white space there."""
    beginning = re.compile(rf"\s*({pattern})")
    matches = (beginning.match(context, start) for start in starts)
    return {match.span(1) for match in matches if match is not None}


def _everywhere(context: str, pattern: str) -> set[_Place]:
    """Where a pattern stands at all, but for a piece of a word; two places are enough to know."""
    overlapping = re.finditer(f"(?=({pattern}))", context)
    places = {match.span(1) for match in islice(overlapping, 2)}
    return {place for place in places if len(places) > 1 or not _cuts_a_word(context, place)}


def _cuts_a_word(context: str, place: _Place) -> bool:
    """Whether a word goes on before or behind a place.

    Scripts with upper and lower case put gaps between words; in others a piece may be a word.
    """
    return any(
        0 < edge < len(context) and all(map(_is_of_a_word, context[edge - 1 : edge + 1]))
        for edge in place
    )


def _is_of_a_word(character: str) -> bool:
    return character.isdigit() or character.lower() != character.upper()
