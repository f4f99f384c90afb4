"""Opening a profile database, wherever it lies, without harming what it is not.

A SQLite file is looked at before a connection could write to it. The errors of SQLite and
PostgreSQL are told as ours, each a sentence, and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from atb.errors import AtbError, BadFile, InputError, RunError
from atb.files import prepare_output
from atb.profiler.database.migration import migrate
from atb.profiler.database.postgresql import describe_url, parse_url, server_engine
from atb.profiler.database.schema import FORMAT, KIND, meta, metadata
from atb.text import printable

_SCHEME = re.compile(r"postgres\w*(\+\w+)?:", re.IGNORECASE)
#: Any number that is nobody else's: who has this lock may make tables, and open campaigns.
_OPENING_LOCK = 0x61746264


@dataclass(frozen=True, slots=True)
class DatabaseHandle:
    """A database that is ours, and ready.

    Attributes:
        engine: Its tables are those of `atb.profiler.database.schema`.
        location: What to call it: a password in a URL is hidden.
        path: Of its file; None on a server.
        format: What lies there; older than the present one only where it is only read.
    """

    engine: sa.Engine
    location: str
    path: Path | None
    format: int


def open_database(location: str, *, create: bool) -> DatabaseHandle:
    """Connect, check that it is ours, and make or migrate the tables where `create` allows.

    Args:
        location: Path of a SQLite file, or a URL of a PostgreSQL server.
        create: Whether to write: what is missing is made, an older format becomes the present
            one. Else read only; a file of an older format is read as if it were of this one.

    Raises:
        BadFile: It is missing, foreign, corrupted or of a newer format; it was not touched.
        InputError: It cannot be written or reached.
        MissingExtra: The driver of the server is not installed.
    """
    location = location.removeprefix("sqlite:///")
    # a URL whose slashes are too few would be taken for a path, and shown with its password
    if "://" in location or (_SCHEME.match(location) and not Path(location).exists()):
        return _open_server(location, create=create)
    return _open_file(Path(location), create=create)


def _open_file(path: Path, *, create: bool) -> DatabaseHandle:
    location = str(path)
    if create:
        prepare_output(path)
    number = check_file(path, create=create)
    if number is None and not path.exists():
        path.touch()  # with the user's umask; SQLite would let nobody else write, whatever it says
    with translate_errors(location):
        if not create and number is not None and number < FORMAT:
            return DatabaseHandle(snapshot_engine(path), location, path, number)
        engine = file_engine(path, create=create)
        return DatabaseHandle(engine, location, path, _prepare(engine, location, create=create))


def _open_server(text: str, *, create: bool) -> DatabaseHandle:
    url = parse_url(text)
    location = describe_url(url)
    engine = server_engine(url, create=create)
    with translate_errors(location):
        number = _prepare(engine, location, create=create)
    if number < FORMAT:
        engine.dispose()
        raise BadFile(
            f"{location} has format {number} and this version reads {FORMAT}: "
            "bring it there by a command that writes, such as `atb profile`."
        )
    return DatabaseHandle(engine, location, None, number)


def _prepare(engine: sa.Engine, location: str, *, create: bool) -> int:
    """Check a database, and with `create` make it one of the present format.

    Returns:
        Its format.
    """
    try:
        if not create:
            with engine.begin() as connection:
                return _read_format(connection, location)
        with exclusive_transaction(engine, location) as connection:
            if not sa.inspect(connection).has_table(meta.name):
                metadata.create_all(connection)
                rows = [{"name": "kind", "value": KIND}, {"name": "format", "value": str(FORMAT)}]
                connection.execute(meta.insert(), rows)
            number = _read_format(connection, location)
            if number < FORMAT:
                migrate(connection, number)
            return FORMAT
    except BaseException:
        engine.dispose()
        raise


def _read_format(connection: sa.Connection, location: str) -> int:
    if not sa.inspect(connection).has_table(meta.name):
        raise foreign(location)
    return parse_format({r.name: r.value for r in connection.execute(sa.select(meta))}, location)


@contextlib.contextmanager
def exclusive_transaction(engine: sa.Engine, location: str) -> Iterator[sa.Connection]:
    """A transaction in which nobody else makes tables or opens campaigns; errors are ours."""
    with translate_errors(location), engine.begin() as connection:
        # SQLite has one writer at a time anyway
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_OPENING_LOCK)))
        yield connection


@contextlib.contextmanager
def snapshot(engine: sa.Engine, location: str) -> Iterator[sa.Connection]:
    """A transaction whose queries all see the same, whatever others write meanwhile."""
    with translate_errors(location), engine.connect() as connection:
        # SQLite always does so
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


# -------------------------------------------------------------------- errors


@contextlib.contextmanager
def translate_errors(location: str) -> Iterator[None]:
    """Turn the database's errors into ours.

    Args:
        location: What the user calls the database.
    """
    try:
        yield
    except IntegrityError as error:
        raise RunError(
            f"Another process wrote the same block to {location}: let one campaign end, "
            "then run the command again."
        ) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _explain(error, location) from error
    except UnicodeDecodeError as error:  # of what SQLite says of a damaged file
        raise BadFile(
            f"{location} is corrupted: restore a copy or choose another with --db."
        ) from error


def _explain(error: Exception, location: str) -> AtbError:
    original = error.orig if isinstance(error, DBAPIError) else error
    text = printable(str(original).strip().partition("\n")[0])
    if "full" in text or "disk I/O" in text or "No space left" in text:
        return RunError(
            f"The disk of {location} is full or failing ({text}): what was measured stays; "
            "free some space and run the command again."
        )
    if "not a database" in text:
        return BadFile(f"{location} is not a profile database: choose another with --db.")
    if "malformed" in text:
        return BadFile(
            f"{location} is corrupted ({text}): restore a copy or choose another with --db."
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return InputError(f"Cannot open {location} ({text}): choose another place with --db.")
    if "locked" in text:
        return RunError(f"{location} is in use by another process: try again when it has ended.")
    what = text or type(error).__name__
    return RunError(f"The database {location} failed ({what}): check that it can be reached.")


# -------------------------------------------------------------------- a SQLite file


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
