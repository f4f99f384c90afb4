"""What `--help` shows of what is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from atb.cli import app


def pages(group: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands and groups of commands, by their words."""
    for name, command in group.commands.items():
        yield (*before, name), command
        if hasattr(command, "commands"):
            yield from pages(command, *before, name)


PAGES = list(pages(typer.main.get_command(app)))


def words_of(text: str) -> list[str]:
    """What a person reads, without what a terminal draws around it and where lines are broken."""
    return re.sub(r"[^\w\[\]=./<>*:-]+", " ", text).split()


@pytest.mark.parametrize(("words", "command"), PAGES, ids=[" ".join(words) for words, _ in PAGES])
def test_help_shows_every_word_that_is_written(words: tuple[str, ...], command: Any) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "1000"})
    assert shown.exit_code == 0
    found = set(words_of(shown.output))
    written = [command.help or "", *(getattr(p, "help", None) or "" for p in command.params)]
    missing = {word for text in written for word in words_of(text)} - found
    # of a group's command the page of the group tells the first sentence; here all is shown
    assert {word for word in missing if not _is_drawn(word)} == set()


def _is_drawn(word: str) -> bool:
    """Whether a terminal draws it in other characters: the marks of code and of lists."""
    return not re.search(r"\w", word)
