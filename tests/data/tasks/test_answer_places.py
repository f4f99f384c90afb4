from __future__ import annotations

import pytest

from atb.data.tasks.questions import place_of


def _found(context: str, text: str, start: int) -> tuple[int, str] | None:
    place = place_of(context, text, start)
    return None if place is None else (place[0], context[slice(*place)])


@pytest.mark.parametrize("start", [-10, -1, 0, 3, 11, 13, 99, 10**30])
def test_the_only_place_of_a_text_is_found_from_any_start(start: int) -> None:
    assert _found("The lamp of Ely burns.", "Ely", start) == (12, "Ely")


@pytest.mark.parametrize(
    ("context", "text", "start", "found"),
    [
        ("ok, ok", "ok", 4, (4, "ok")),
        ("ok, ok", "ok", 3, (4, "ok")),  # the white space before it
        ("ok, ok", " ok", 3, (3, " ok")),
        ("ok, ok", "ok ", 4, (4, "ok")),
        ("ok, ok", "ok", 1, None),
        ("ok, ok", "ok", -2, None),  # no place counted from the end
        ("\U0001f98a\U0001f989 ok, ok", "ok", 5, (3, "ok")),  # two surrogate pairs before it
        ("\U0001f98a ok, ok", "ok", 1, (2, "ok")),
        ("\U0001f98a. ok. ok", "ok", 7, (7, "ok")),
        ("na\u00efve ok, ok", "ok", 7, (6, "ok")),  # a letter of two bytes before it
        ("red\u00a0\n fox and fox", "red fox", 9, (0, "red\u00a0\n fox")),
        ("the fox", "The Fox", 0, (0, "the fox")),
        ("the fox", "The Fox", 3, None),
        ("May is when she may", "may", 0, (16, "may")),
        ("the party began", "art", 0, None),  # a piece of a word
        ("in 1995", "5", 0, None),
        ("aaa", "aa", -1, None),
        ("\u6771\u4eac\u306f\u65e5\u672c", "\u65e5\u672c", 0, (3, "\u65e5\u672c")),
        ("a fox", "wolf", 2, None),
        ("a fox", " ", 1, None),
        ("a fox", "", 1, None),
        ("", "fox", 0, None),
        ("1+1 (or 2)", "(or 2)", 0, (4, "(or 2)")),
    ],
)
def test_a_place_is_taken_where_it_is_beyond_doubt(
    context: str, text: str, start: int, found: tuple[int, str] | None
) -> None:
    assert _found(context, text, start) == found
