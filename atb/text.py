"""Text of others, made fit to be shown: on a terminal, in a page, in a picture."""

from __future__ import annotations

import os
import unicodedata

#: How a typewriter writes what we write; other characters lose their accents, or are a `?`.
_PLAIN = {
    **dict.fromkeys("\u2018\u2019", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
    **dict.fromkeys("−–—─━╸╺", "-"),
    **dict.fromkeys("╭╮╰╯", "+"),
    "±": "+/-",
    "×": "x",
    "µ": "u",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "→": "->",
    "·": "*",
    "•": "*",
    "│": "|",
    "√": "sqrt ",
    "ß": "ss",
}

_BLANKS = str.maketrans("\t\n\v\f\r", "     ")


def printable(text: str) -> str:
    r"""A line without what a terminal would obey, or what would show it in another order.

    Names and messages come from devices, databases and files of others. Escape sequences, other
    control characters, and marks that turn the direction of writing around are shown as Python
    writes them (`\x1b`); the ends of lines and tabulators are spaces.

    Args:
        text: Anything.
    """
    if text.isprintable():
        return text
    shown = (c if c.isprintable() or _is_blank(c) else _escaped(c) for c in _flat(text))
    return "".join(shown)


def printable_lines(text: str) -> str:
    """The same of every line of a text."""
    return "\n".join(printable(line.rstrip("\r")) for line in text.split("\n"))


def _flat(text: str) -> str:
    return text.replace("\r\n", " ").translate(_BLANKS)


def _is_blank(character: str) -> bool:
    """A space of another width, which is harmless; the ends of lines and paragraphs are not."""
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def plain_ascii(character: str) -> str:
    """What stands for a character where only ASCII can be shown."""
    if character in _PLAIN:
        return _PLAIN[character]
    parts = unicodedata.normalize("NFKD", character)
    return "".join(part for part in parts if part.isascii()) or "?"


def given_text(argument: str) -> str:
    """What the user typed, or how a file is called, as text that every file format takes.

    Where the locale is not UTF-8, Python passes on bytes beyond ASCII as halves of characters.
    """
    return os.fsencode(argument).decode("utf-8", "replace")
