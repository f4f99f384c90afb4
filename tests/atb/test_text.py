"""Text of others on a terminal: no command to it, no turned writing, in any encoding."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atb.commands.output.console import (
    Table,
    draw_progress,
    prepare_streams,
    print_error,
    print_json,
    print_line,
    print_status,
    print_table,
)
from atb.text import plain_ascii, printable

ROOT = Path(__file__).resolve().parents[2]
#: Clear the screen, set its title, colour by an 8-bit control, turn the writing around, end lines.
EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp\u2066\r\nb\u2028c\x7f\x00\ud800"


@pytest.mark.parametrize("text", ["plain", "é 中 ±", "wide\u00a0and thin\u202fspaces", ""])
def test_what_is_harmless_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_a_terminal_would_obey_is_shown_as_python_writes_it() -> None:
    assert printable("a\x1b[2Jb") == r"a\x1b[2Jb"
    assert printable("one\r\ntwo\tthree\x0bfour") == "one two three four"
    shown = printable(EVIL)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert all(escape in shown for escape in (r"\x9b", r"\u202e", r"\u2066", r"\u2028", r"\ud800"))


def test_every_way_to_the_terminal_makes_text_printable(capsys) -> None:
    prepare_streams()
    print_error(EVIL)
    print_status(EVIL)
    print_line(EVIL)
    print_table(Table((EVIL, EVIL), [(EVIL, EVIL)], left=(0, 1)))
    print_json({EVIL: EVIL})
    told = capsys.readouterr()
    for output, lines in ((told.out, 3 + 4), (told.err, 2)):
        assert output.count("\n") == len(output.splitlines()) == lines
        assert output.replace("\n", "").isprintable()
    document = "".join(told.out.splitlines(keepends=True)[-4:])
    assert json.loads(document) == {"format": 1, EVIL: EVIL}


def test_the_word_of_a_bar_is_neither_markup_nor_a_command(monkeypatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "200")
    with draw_progress("work") as show:
        show(1, 2, "[red]name[/]\x1b]0;owned\x07")
    assert "[red]name[/]" in stream.getvalue()
    assert "\x1b]0;" not in stream.getvalue()


def test_what_ascii_lacks_is_written_as_a_typewriter_would() -> None:
    shown = {"±": "+/-", "é": "e", "×": "x", "µ": "u", "中": "?", "→": "->", "ﬁ": "fi"}
    assert {character: plain_ascii(character) for character in shown} == shown


def run_ascii(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "LC_ALL": "C",
        "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
    }  # fmt: skip
    return subprocess.run(  # noqa: PLW1510 - the exit code is what is asked for
        [sys.executable, "-m", "atb", *words], cwd=folder, env=environment, capture_output=True
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("profile --help", 0),
        ("devices list", 0),
        ("devices list --json", 0),
        ("profile fake --arch tinybert-4 --campaign nächtlich±", 0),
        ("profile fake --arch tinybert-4 --campaign nächtlich± --json", 0),
        ("predict tinybert-4 --predictor müßig.json", 2),
        ("profile fake --arch größer", 2),
        ("nonsense-é", 2),
    ],
)
def test_an_ascii_terminal_gets_every_answer(tmp_path, words: str, code: int) -> None:
    done = run_ascii(tmp_path, *words.split())
    assert done.returncode == code, done.stderr
    assert (done.stdout + done.stderr).isascii()
    assert b"Traceback" not in done.stderr
    if "--json" in words:
        json.loads(done.stdout)


def test_columns_are_aligned_where_characters_are_replaced(monkeypatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    print_table(Table(("name", "error"), [("größer ± 5 %", "1"), ("small", "2")]))
    stream.seek(0)
    lines = stream.read().splitlines()
    assert lines == ["name             error", "grosser +/- 5 %      1", "small                2"]
