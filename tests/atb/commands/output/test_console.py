"""Tables for people: aligned, and on a terminal no wider than it is."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from atb.commands.output.console import Table, draw_progress, print_table

HEADER = ("runtime", "why it cannot be used")
COMMAND = "`pip install -e '.[openvino]'`"
ROWS = [
    ("openvino", f"the package openvino is not installed; run {COMMAND}"),
    ("board", ""),
]


def lines(capsys, monkeypatch, columns: int, *, terminal: bool = True, prose: bool = True):
    """What is printed where so many characters fit."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    print_table(Table(HEADER, ROWS, left=(0, 1), prose=prose))
    return capsys.readouterr().out.splitlines()


def test_a_row_is_a_line_where_nobody_looks(capsys, monkeypatch) -> None:
    assert lines(capsys, monkeypatch, 40, terminal=False) == [
        "runtime   why it cannot be used",
        f"openvino  {ROWS[0][1]}",
        "board",
    ]


def test_sentences_stand_below_each_other_on_a_terminal(capsys, monkeypatch) -> None:
    assert lines(capsys, monkeypatch, 60) == [
        "runtime   why it cannot be used",
        "openvino  the package openvino is not installed; run",
        f"          {COMMAND}",
        "board",
    ]


@pytest.mark.parametrize("columns", [12, 30, 80, 200])
def test_what_is_to_be_copied_is_never_broken(capsys, monkeypatch, columns: int) -> None:
    found = lines(capsys, monkeypatch, columns)
    assert any(COMMAND in line for line in found)
    assert (len(found) == 3) == (columns == 200)


def test_other_tables_are_as_wide_as_they_are(capsys, monkeypatch) -> None:
    assert len(lines(capsys, monkeypatch, 30, prose=False)) == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_when_it_is_told_something_and_by_no_thread_of_its_own(monkeypatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    before = threading.enumerate()
    with draw_progress("profile") as show:
        show(3, 10, "first: launch 1")
        assert threading.enumerate() == before
        drawn = screen.getvalue()
        assert "3/10" in drawn
        assert "first: launch 1" in drawn
        show(4, 0, "second: launch 1")
        assert "second: launch 1" in screen.getvalue()[len(drawn) :]
        assert "4/?" in screen.getvalue()[len(drawn) :]


def test_of_work_without_a_known_end_lines_tell_what_is_done(capsys, monkeypatch) -> None:
    monkeypatch.setattr("atb.messages.QUIET_FIRST_SECONDS", -1.0)
    with draw_progress("profile") as show:
        for done in range(40):
            show(done, 0, "measuring")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "profile: 0 measuring"
