"""Questions of SQuAD as they are given, and which of them can be learnt from.

The `answer_start` of an answer should count characters. Real files also hold offsets in UTF-16
units or in bytes, offsets that are off by the white space around an answer, and offsets that mean
nothing (-1, 0).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from atb.data.tasks.rows import counted
from atb.data.tasks.tasks import Examples
from atb.errors import BadFile
from atb.text_files import opened_text

_Place = tuple[int, int]
# Encodings in whose units offsets are counted elsewhere, and bytes of a unit.
_UNITS = (("utf-16-le", 2), ("utf-8", 1))


def published_questions(path: Path) -> Iterator[dict[str, Any]]:
    """The questions of the published JSON, each with its paragraph and the article's title.

    Raises:
        BadFile: The file is none of that.
    """
    try:
        with opened_text(path) as file:
            document = json.loads(file.read().removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is not SQuAD's published JSON ({error}): get it anew.") from error
    for article in _field(document, "data", list, str(path)):
        for paragraph in _field(article, "paragraphs", list, str(path)):
            for question in _field(paragraph, "qas", list, str(path)):
                if not isinstance(question, dict):
                    raise _unlike_squad(str(path), f"has {question!r:.40} for a question")
                yield {
                    **question,
                    "context": paragraph.get("context"),
                    "title": article.get("title"),
                }


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was given.

    Attributes:
        row: Its fields by the names of `Examples`.
        is_impossible: Whether it is said to have no answer; None where nothing is said.
    """

    row: Mapping[str, Any]
    is_impossible: bool | None

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Question:
        """Take a question of the published JSON or of the hub.

        Raises:
            BadFile: A field is missing, or of another kind.
        """
        if not isinstance(given.get("id"), str | int):
            raise _unlike_squad(where, f"has {given.get('id')!r:.40} for 'id'")
        where = f"{where} ({given['id']!r:.60})"
        row = {
            "id": given["id"],
            "group": given["title"] if isinstance(given.get("title"), str) else "",
            "context": _text(given, "context", where),
            "question": _text(given, "question", where).strip(),
            "answers": [
                {"text": _text(answer, "text", where), "start": _offset(answer["answer_start"])}
                for answer in _answers(given.get("answers"), where)
            ],
        }
        said = given.get("is_impossible")
        return cls(row, said if isinstance(said, bool) else None)

    @property
    def answers(self) -> list[Mapping[str, Any]]:
        """Those that are more than white space."""
        return [answer for answer in self.row["answers"] if answer["text"].strip()]

    @property
    def contradicts_itself(self) -> bool:
        """Whether it has an answer and is said to have none, or the reverse."""
        return self.is_impossible is not None and self.is_impossible == bool(self.answers)


def _answers(given: Any, where: str) -> list[dict[str, Any]]:
    """Answers as the published JSON has them, a list, or as the hub has them, columns."""
    if isinstance(given, Mapping):
        texts, starts = (_field(given, name, list, where) for name in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise _unlike_squad(where, f"has {len(texts)} answers and {len(starts)} answer_start")
        columns = zip(texts, starts, strict=True)
        given = [{"text": text, "answer_start": start} for text, start in columns]
    found = [] if given is None else given
    if not isinstance(found, list) or not all(isinstance(answer, dict) for answer in found):
        raise _unlike_squad(where, f"has {given!r:.40} for 'answers'")
    return [{"answer_start": None, **answer} for answer in found]


def _field(holder: Any, name: str, kind: type[Any], where: str) -> Any:
    if not isinstance(holder, Mapping) or name not in holder:
        raise _unlike_squad(where, f"is without {name!r}")
    if not isinstance(holder[name], kind):
        raise _unlike_squad(where, f"has {holder[name]!r:.40} for {name!r}")
    return holder[name]


def _text(holder: Any, name: str, where: str) -> str:
    text: str = _field(holder, name, str, where)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _unlike_squad(where, f"has half a character, a surrogate, in {name!r}") from error
    return text


def _offset(given: Any) -> int:
    """Characters before an answer; -1, which no place has, for what is no whole number."""
    try:
        number = float(given)
        return int(number) if number.is_integer() else -1
    except (TypeError, ValueError, OverflowError):
        return -1


def _unlike_squad(where: str, what: str) -> BadFile:
    return BadFile(f"{where} {what}: pass SQuAD's published JSON, or a dataset of its form.")


def check_answered(source: str, questions: Sequence[Question]) -> None:
    """Refuse questions without an answer.

    Raises:
        BadFile: There are some.
    """
    found = [f"{question.row['id']!r:.60}" for question in questions if not question.answers]
    if found:
        raise BadFile(
            f"{source} has {counted(found, len(questions), 'questions')} without an answer, and "
            "SQuAD 1.1 wants one for each: take the task squad2, or leave them out."
        )


def learnable(source: str, questions: Sequence[Question]) -> Examples:
    """The questions to learn from, with remarks on what was put right or left out.

    Raises:
        BadFile: More than half of them would be left out.
    """
    rows, moved, unclear, contradictory = [], [], [], []
    for question in questions:
        placed, others = placed_answers(question.row["context"], question.answers)
        name = f"{question.row['id']!r:.60}"
        if question.contradicts_itself:
            contradictory.append(name)
        elif question.answers and not placed:
            unclear.append(name)
        else:
            if placed[:1] != question.answers[:1]:
                moved.append(name)
            # the first one is learnt; all of them are right, where the row is held out
            rows.append({**question.row, "answers": placed + others})

    def said(names: Sequence[str]) -> str:
        return counted(names, len(questions), "questions")

    if len(rows) < len(questions) / 2:
        raise BadFile(
            f"{source} has {said(unclear + contradictory)} whose answers do not stand at their "
            "answer_start or contradict is_impossible: repair them; answer_start counts characters "
            "from 0 on."
        )
    remarks = (
        (moved, "{} had an answer beside its answer_start, which was put right."),
        (unclear, "{} were left out, since it is unclear where their answers stand."),
        (contradictory, "{} were left out, since is_impossible contradicts their answers."),
    )
    return Examples(
        tuple(rows),
        len(questions) - len(rows),
        tuple(f"{source}: {text.format(said(names))}" for names, text in remarks if names),
    )


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
