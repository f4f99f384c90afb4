"""What `--help` shows of what is written."""

from __future__ import annotations

import re
import shlex
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


#: Numbers that count nothing and measure nothing.
WITHOUT_UNIT = {
    "seed",
    "learning_rate",
    "speedup",
    *(f"{term}_weight" for term in ("hidden", "attention", "sentence", "similarity")),
}
UNITS = re.compile(
    r"\b(architectures|epochs|finalists|fraction|generations?|heads|layers|parts|rows|samples"
    r"|sequences|splits|steps|sub-models|threads?|tokens|width)\b"
)
OPTIONS = {
    (*words, parameter.opts[0]): parameter
    for words, command in PAGES
    for parameter in command.params
    if parameter.param_type_name == "option" and not parameter.hidden and parameter.name != "help"
}
ARGUMENTS = {
    (*words, parameter.name): parameter
    for words, command in PAGES
    for parameter in command.params
    if parameter.param_type_name == "argument"
}


def is_a_number(option: Any) -> bool:
    """Also of new versions of Typer, which has its own types."""
    kind = getattr(option, "type", None) or option.type_descriptor.annotation
    return bool(re.search(r"\b(int|float)", repr(kind).lower()))


def is_a_sentence(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Z].*\.", text)) and len(text.split()) >= 4


def test_every_option_is_described_by_a_sentence() -> None:
    assert [name for name, o in OPTIONS.items() if not is_a_sentence(o.help or "")] == []


def test_every_argument_and_page_is_described() -> None:
    assert [name for name, a in ARGUMENTS.items() if not (a.help or "").endswith(".")] == []
    firsts = {words: (command.help or "").partition("\n")[0] for words, command in PAGES}
    assert [words for words, first in firsts.items() if not is_a_sentence(first)] == []


def test_every_option_says_what_holds_by_default() -> None:
    silent = [
        name
        for name, option in OPTIONS.items()
        if option.default is None
        and not option.required
        and not isinstance(option.show_default, str)
        and not re.search("default|without", option.help)
        and not option.multiple
        and not re.search(r", for [`-]", option.help)  # of no use but for what is named
    ]
    assert silent == []


def test_every_number_has_a_unit() -> None:
    numbers = {n: o for n, o in OPTIONS.items() if is_a_number(o)}
    assert len(numbers) > 40
    unclear = [
        name
        for name, option in numbers.items()
        if option.name not in WITHOUT_UNIT and not UNITS.search(option.help)
    ]
    assert unclear == []


def test_every_option_of_a_long_page_stands_under_a_heading() -> None:
    assert {o.rich_help_panel for n, o in OPTIONS.items() if n[0] == "search"} == {
        "Candidates", "Files", "Improvement", "Limit", "Method", "Output", "Pruning", "Scoring",
        "Target",
    }  # fmt: skip


COMMANDS = [(words, command) for words, command in PAGES if not hasattr(command, "commands")]


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(w) for w, _ in COMMANDS])
def test_every_example_can_be_read(words: tuple[str, ...], command: Any) -> None:
    """What it names need not be there: the words are read, and nothing is run."""
    label, _, example = (command.epilog or "").partition(" ")
    program, *given = shlex.split(example)
    assert (label, program, tuple(given[: len(words)])) == ("Example:", "atb", words)
    context = command.make_context(words[-1], given[len(words) :])
    assert not context.args


def test_an_old_name_of_an_option_is_understood(atb_here) -> None:
    done = atb_here("predictor", "compare", "--peers", "ridge")
    assert "does not exist: make one with `atb profile`" in done.stderr


def test_a_duration_to_wait_may_be_called_patience(atb_here) -> None:
    done = atb_here("profile", "fake", "--patience", "soon")
    assert "'soon'" in done.stderr
    assert "No such option" not in done.stderr
