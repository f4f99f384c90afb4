"""A profile database in a SQLite file: looked at without harm, then opened."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from atb.errors import BadFile
from atb.profiler.database.errors import translate_errors
from atb.profiler.database.migration import migrate
from atb.profiler.database.schema import FORMAT, KIND, meta
from atb.text import printable

__all__ = ["check_file", "file_engine", "foreign", "parse_format", "snapshot_engine"]

_LOCK_SECONDS = 30.0  # how long one writer waits for another
_RETRY_SECONDS = 0.01
_LOOKS = 3  # at a file that others write to meanwhile


def foreign(location: str) -> BadFile:
    """The refusal of what is something else."""
    return BadFile(f"{location} is not a profile database: choose another with --db.")


def parse_format(found: dict[str, str], location: str) -> int:
    """The format number from the rows of the table `atb_meta`.

    Raises:
        BadFile: It is no profile database, or one of a newer format.
    """
    if found.get("kind") != KIND:
        raise foreign(location)
    text = found.get("format", "")
    if not text.isdigit() or not 1 <= int(text) <= FORMAT:
        raise BadFile(
            f"{location} has format {text} and this version reads up to {FORMAT}: "
            "use the version of atb that wrote it, or choose another with --db."
        )
    return int(text)


def check_file(path: Path, *, create: bool) -> int | None:
    """Refuse what is not a profile database, before any connection could write to it.

    Returns:
        Its format; None where there is nothing yet and `create` allows to make it.

    Raises:
        BadFile: It is missing, foreign, corrupted or of a newer format.
    """
    if path.is_dir():
        raise BadFile(f"{path} is a folder: name a file in it with --db.")
    if not path.is_file() or path.stat().st_size == 0:
        if create:
            return None
        what = "is empty" if path.is_file() else "does not exist"
        raise BadFile(f"The profile database {path} {what}: make one with `atb profile`.")
    for look in range(_LOOKS):
        before = _stamp(path)
        try:
            return _look_into(path, create=create)
        except BadFile:
            # somebody may have written while we read without a lock
            if _stamp(path) == before or look == _LOOKS - 1:
                raise
    raise AssertionError


def _stamp(path: Path) -> tuple[int, int, bool]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, _journal(path).exists()


def _look_into(path: Path, *, create: bool) -> int | None:
    # through SQLite: to open and close a file beside it would drop the locks of this process
    location = str(path)
    with (
        translate_errors(location),
        contextlib.closing(_connect(path, _untouching_mode(path))) as connection,
    ):
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise BadFile(
                f"{path} is corrupted ({printable(verdict.splitlines()[-1])}): restore a copy, "
                "or choose another with --db."
            )
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if meta.name in names:
            found = dict(connection.execute(f"SELECT name, value FROM {meta.name}"))  # noqa: S608
            return parse_format(found, location)
    if names or not create:
        raise foreign(location)
    return None


def _journal(path: Path) -> Path:
    file = path.resolve()  # SQLite puts it beside the file that a link leads to
    return file.with_name(file.name + "-wal")


def _untouching_mode(path: Path) -> str:
    """The mode of opening that changes nothing, where possible no file beside it either."""
    return "ro" if _journal(path).exists() else "ro&immutable=1"


def _reading_mode(path: Path) -> str:
    if os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK):
        return "rw"  # the last one to close takes the journal away; a pragma forbids writing
    return _untouching_mode(path)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return _connect_to(f"{path.resolve().as_uri()}?mode={mode}")


def _connect_to(uri: str) -> sqlite3.Connection:
    # autocommit: transactions begin where SQLAlchemy says so, not where the driver guesses
    connection = sqlite3.connect(
        uri, uri=True, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = _decode
    return connection


def _decode(content: bytes) -> str:
    """Text that need not be any: who reads a row says which one it is, SQLite would not."""
    return content.decode("utf-8", "surrogateescape")


def file_engine(path: Path, *, create: bool) -> sa.Engine:
    """Connect to a file of the present format, or with `create` to any.

    Args:
        path: The file.
        create: Whether to write, and to make the file where it is missing.
    """
    mode = "rwc" if create else _reading_mode(path)
    engine = sa.create_engine(
        "sqlite://", creator=lambda: _connect(path, mode), poolclass=QueuePool, pool_size=1
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if create:
            _journal_ahead(connection)  # readers and a writer side by side
            connection.execute("PRAGMA synchronous = FULL")  # a committed block outlives a crash
        else:
            connection.execute("PRAGMA query_only = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if create else "BEGIN")

    return engine


def _journal_ahead(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead journal; unlike all else it does not wait for others by itself."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def snapshot_engine(path: Path) -> sa.Engine:
    """A copy in memory of a file of an older format, brought to the present one.

    So that the file can be read where it may not be written.
    """
    memory = _connect_to("file::memory:")
    with contextlib.closing(_connect(path, _reading_mode(path))) as source:
        source.backup(memory)
    engine = sa.create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN")
        rows = connection.execute(sa.select(meta))
        migrate(connection, parse_format({row.name: row.value for row in rows}, str(path)))
    memory.execute("PRAGMA query_only = ON")
    return engine
