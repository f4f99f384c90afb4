"""Opening a profile database, wherever it lies, without harming what it is not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from atb.errors import BadFile
from atb.files import prepare_output
from atb.profiler.database.errors import translate_errors
from atb.profiler.database.migration import migrate
from atb.profiler.database.postgresql import describe_url, parse_url, server_engine
from atb.profiler.database.schema import FORMAT, KIND, meta, metadata
from atb.profiler.database.sqlite import (
    check_file,
    file_engine,
    foreign,
    parse_format,
    snapshot_engine,
)

__all__ = ["DatabaseHandle", "exclusive_transaction", "open_database", "snapshot"]

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
        with exclusive_transaction(engine) as connection:
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
def exclusive_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction in which nobody else makes tables or opens campaigns."""
    with engine.begin() as connection:
        # SQLite has one writer at a time anyway
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_OPENING_LOCK)))
        yield connection


@contextlib.contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction whose queries all see the same, whatever others write meanwhile."""
    with engine.connect() as connection:
        # SQLite always does so
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection
