"""What a person sees: results on stdout, everything else on stderr, of one process.

Everything goes through here, and is made fit for a terminal: names and messages come from devices,
databases and files of others (`atb.text`), and a terminal may know few characters. Of several
processes, as `torchrun` starts them, one speaks; what that launcher sets is read here and nowhere
else of the face. How they share the work is written in `atb.training.processes`.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import logging
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.errors import InputError
from atb.messages import (
    LOG,
    Progress as Progress,  # noqa: PLC0414 -- the room hands it on
    progress as progress,  # noqa: PLC0414 -- the room hands it on
    progress_lines,
    show_progress_by,
)
from atb.text import plain_ascii, printable

_REPLACING = "atb-replacing"

#: A bar is drawn anew no sooner, as long as its word is the same.
REFRESH_SECONDS = 0.1


def prepare_streams() -> None:
    """Let stdout and stderr replace what their encoding does not have, rather than fail.

    What is logged is shown from then on. Of several processes that were launched together one
    prints results.
    """
    if not speaks():
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 -- to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_REPLACING)
    LOG.handlers[:], LOG.propagate = [_StatusLines()], False
    LOG.setLevel(logging.INFO)
    show_progress_by(draw_progress)


class _StatusLines(logging.Handler):
    """Shows on stderr what is logged while a command runs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record without its time; warnings are named as such."""
        _write(f"{'warning: ' * (record.levelno >= logging.WARNING)}{record.getMessage()}")


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(plain_ascii, error.object[error.start : error.end])), error.end


codecs.register_error(_REPLACING, _replace)


def _shown(text: str) -> str:
    """As stdout will show it, so that columns are as wide as what is in them."""
    encoding = sys.stdout.encoding or "utf-8"
    return printable(text).encode(encoding, _REPLACING).decode(encoding)


def print_error(message: str) -> None:
    """Print on stderr what went wrong."""
    _write(f"atb: {message}")


def print_status(message: str) -> None:
    """Log what is going on, which a command shows on stderr beside the result."""
    LOG.info(message)


def print_warning(message: str) -> None:
    """Log what may be wrong with what is used, which a command shows on stderr."""
    LOG.warning(message)


def _write(message: str) -> None:
    if speaks():
        sys.stderr.write(f"{printable(message)}\n")


def print_line(text: str = "") -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{printable(text)}\n")


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document with its format number."""
    sys.stdout.write(json.dumps({"format": 1, **document}, indent=1, allow_nan=False) + "\n")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in aligned columns.

    Attributes:
        header: Names of the columns.
        rows: Cells as text.
        left: Columns aligned to the left; the others, numbers, to the right.
        prose: Whether the last column is sentences, which a terminal shows below each other.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)
    prose: bool = False


def print_result(
    document: Mapping[str, Any], *parts: str | Table, json: bool, status: Iterable[str] = ()
) -> None:
    """Print the result of a command: a document for programs, or lines and tables for people.

    Args:
        document: What --json prints.
        parts: Lines and tables in their order; between two tables an empty line is added.
        json: Whether --json was given.
        status: Lines for people that go to stderr, after the result.
    """
    if json:
        print_json(document)
        return
    for before, part in zip((None, *parts), parts, strict=False):
        if isinstance(part, str):
            print_line(part)
            continue
        if isinstance(before, Table):
            print_line()
        print_table(part)
    for line in status:
        print_status(line)


def print_table(table: Table) -> None:
    """Print a table, plain enough for `grep` and `awk`."""
    rows = [[_shown(cell) for cell in row] for row in (table.header, *table.rows)]
    columns = range(len(table.header))
    if table.prose and sys.stdout.isatty():
        before = sum(2 + max(len(row[c]) for row in rows) for c in columns[:-1])
        width = shutil.get_terminal_size().columns - before
        rows = [line for row in rows for line in _lines_of(row, width)]
    widths = [max(len(row[column]) for row in rows) for column in columns]
    for row in rows:
        cells = [
            cell.ljust(width) if column in table.left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _lines_of(row: Sequence[str], width: int) -> Iterator[list[str]]:
    """A row as several, its last cell broken between words; never within `...`, to be copied."""
    whole = re.sub("`.*?`", lambda code: code[0].replace(" ", "\0"), row[-1])
    found = textwrap.wrap(whole, max(width, 1), break_long_words=False, break_on_hyphens=False) or [
        ""
    ]
    for number, line in enumerate(found):
        cells = row[:-1] if number == 0 else [""] * (len(row) - 1)
        yield [*cells, line.replace("\0", " ")]


@contextlib.contextmanager
def draw_progress(title: str) -> Iterator[Progress]:
    """Show how far something is: a bar on a terminal, a line now and then elsewhere.

    It is drawn only when it is told something, by the thread that tells it: while a block is timed
    nothing else computes.
    """
    if not (sys.stderr.isatty() and speaks()):
        yield progress_lines(title, _write)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress as Bar,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[word]}", style="dim", markup=False),
    )
    with Bar(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task(title, total=None, word="")
        drawn_at, drawn_word = -REFRESH_SECONDS, ""

        def show(done: int, total: int, word: str) -> None:
            nonlocal drawn_at, drawn_word
            bar.tasks[0].total = total or None  # which `update` takes for no change
            bar.update(task, completed=done, word=printable(word))
            now = time.monotonic()
            if word != drawn_word or done == total or now - drawn_at >= REFRESH_SECONDS:
                drawn_at, drawn_word = now, word
                bar.refresh()

        yield show


#: Commands whose processes share the work; all others would each do all of it, in the same folder.
SHARING = (("superplm", "train"), ("superplm", "finetune"))
_ONLY_TELLING = {"-h", "--help", "--version"}


def speaks() -> bool:
    """Whether this process is the one on its machine that prints."""
    return _number("WORLD_SIZE", 1) <= 1 or _number("LOCAL_RANK", _number("RANK", 0)) == 0


def refuse_several(words: Sequence[str]) -> None:
    """Refuse to run a command in several processes that cannot share its work.

    Args:
        words: Of the command line, behind `atb`.

    Raises:
        InputError: There are several processes, and it is such a command.
    """
    count = _number("WORLD_SIZE", 1)
    command = tuple(word for word in words if not word.startswith("-"))[:2]
    if count <= 1 or not command or command in SHARING or _ONLY_TELLING & set(words):
        return
    sharing = " and ".join(f"`atb {' '.join(known)}`" for known in SHARING)
    raise InputError(
        f"`atb {command[0]}` was started in {count} processes and runs in one: start it without "
        f"torchrun (WORLD_SIZE is {count}); only {sharing} share their work."
    )


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default
