"""Tables for people: aligned, and on a terminal no wider than it is."""

from __future__ import annotations

import sys

import pytest

from atb.console import print_table

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
    print_table(HEADER, ROWS, left=(0, 1), prose=prose)
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
