"""Tables of the profile database, and opening one without harming what it is not.

History of formats:
    1  meta, conditions, campaigns, sessions, blocks with raw iterations, failures
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from atb.errors import AtbError, BadFile, InputError, RunError
from atb.files import prepare_output

__all__ = [
    "FORMAT",
    "blocks",
    "campaigns",
    "conditions",
    "failures",
    "meta",
    "open_engine",
    "sessions",
    "translated",
]

FORMAT = 1
_KIND = "profile-database"
_SQLITE_HEADER = b"SQLite format 3\x00"
_LOCK_SECONDS = 30.0  # how long one writer waits for another

metadata = sa.MetaData()
meta = sa.Table(
    "atb_meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
conditions = sa.Table(
    "atb_conditions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("document", sa.Text, nullable=False),  # JSON of Conditions
)
campaigns = sa.Table(
    "atb_campaigns",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),  # hash of what makes a command the same command
    sa.Column("label", sa.Text, nullable=False, unique=True),  # name, numbered from the second on
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("space", sa.Text, nullable=False),  # empty where architectures were listed
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("launches", sa.Integer, nullable=False),  # before the stop rule asks for more
    sa.Column("sentinel", sa.Text, nullable=False),  # architecture timed next to every block
    sa.Column("conditions_id", sa.ForeignKey("atb_conditions.id"), nullable=False),
)
sessions = sa.Table(  # each time that a campaign was begun or resumed
    "atb_sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),  # Unix seconds on the device
    sa.Column("within", sa.Double),
)
blocks = sa.Table(
    "atb_blocks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
    sa.Column("architecture", sa.Text, nullable=False),
    sa.Column("launch", sa.Integer, nullable=False),
    sa.Column("block", sa.Integer, nullable=False),
    sa.Column("readings", sa.Text, nullable=False),  # JSON of Block, as are the sentinels
    sa.Column("sentinel_before", sa.Text),
    sa.Column("sentinel_after", sa.Text),
    sa.Column("artefact_sha256", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # JSON
    sa.UniqueConstraint("campaign_id", "architecture", "launch", "block"),
)
failures = sa.Table(
    "atb_failures",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
    sa.Column("architecture", sa.Text),  # absent where the device itself failed
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)


@contextlib.contextmanager
def translated(location: str) -> Iterator[None]:
    """Turn the database's errors into ours, each a sentence."""
    try:
        yield
    except IntegrityError as error:
        raise RunError(
            f"Another process wrote the same block to {location}: let one campaign end, "
            "then run the command again."
        ) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _explain(error, location) from error


def _explain(error: Exception, location: str) -> AtbError:
    original = error.orig if isinstance(error, DatabaseError) else error
    text = str(original)
    if "full" in text or "disk I/O" in text:
        return RunError(
            f"The disk of {location} is full or failing ({text}): what was measured stays; "
            "free some space and run the command again."
        )
    if "malformed" in text or "not a database" in text:
        return BadFile(
            f"{location} is corrupted ({text}): restore a copy or choose another with --db."
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return InputError(f"Cannot open {location} ({text}): choose another place with --db.")
    if "locked" in text:
        return RunError(f"{location} is in use by another process: try again when it has ended.")
    line = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return RunError(f"The database {location} failed ({line}): check that it can be reached.")


def open_engine(location: str, *, create: bool) -> sa.Engine:
    """Connect, check that it is ours, and make the tables where `create` allows.

    Args:
        location: Path of a SQLite file, or a URL of SQLAlchemy.
        create: Whether to write: missing files and tables are made. Else read only.

    Raises:
        BadFile: It is missing, foreign, corrupted or of a newer format; it was not touched.
        InputError: It cannot be written.
    """
    if location.startswith("sqlite:///"):
        location = location.removeprefix("sqlite:///")
    if "://" in location:
        engine = _server_engine(location)
    else:
        path = Path(location)
        if create:
            prepare_output(path)
        _check_sqlite_file(path, create=create)
        engine = _sqlite_engine(path, create=create)
    try:
        with translated(location):
            if create:
                _create_tables(engine)
            _check_format(engine, location)
    except AtbError:
        engine.dispose()
        raise
    return engine


def _server_engine(url: str) -> sa.Engine:
    try:
        return sa.create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise InputError(
            f"The database {url.split('://', maxsplit=1)[0]} needs the driver {error.name}: "
            f"run `pip install {error.name}`, or give --db a file."
        ) from error
    except SQLAlchemyError as error:
        raise InputError(f"--db is not a database URL ({error}): give a file or a URL.") from error


def _check_sqlite_file(path: Path, *, create: bool) -> None:
    """Refuse what is not a profile database, before any connection could write to it."""
    if not path.is_file() or path.stat().st_size == 0:
        if create and not path.is_dir():
            return
        what = "is empty" if path.is_file() else "does not exist"
        raise BadFile(f"The profile database {path} {what}: make one with `atb profile`.")
    try:
        with path.open("rb") as file:
            header = file.read(len(_SQLITE_HEADER))
    except OSError as error:
        raise BadFile(f"Cannot read {path} ({error.strerror}): choose another --db.") from error
    foreign = BadFile(f"{path} is not a profile database: choose another file with --db.")
    if header != _SQLITE_HEADER:
        raise foreign
    mode = _untouching_mode(path)
    with translated(str(path)), contextlib.closing(_connect(path, mode)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise BadFile(
                f"{path} is corrupted ({verdict.splitlines()[-1]}): restore a copy, "
                "or choose another with --db."
            )
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if meta.name not in names and (names or not create):
            raise foreign


def _untouching_mode(path: Path) -> str:
    """The mode of opening that changes nothing, where possible no file beside it either."""
    journal = path.with_name(path.name + "-wal")
    return "ro" if journal.exists() else "ro&immutable=1"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # autocommit: transactions begin where SQLAlchemy says so, not where the driver guesses
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=_LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _sqlite_engine(path: Path, *, create: bool) -> sa.Engine:
    if create:
        mode = "rwc"
    elif os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        mode = "rw"  # the last one to close takes the journal away; a pragma forbids writing
    else:
        mode = _untouching_mode(path)
    engine = sa.create_engine(
        "sqlite://", creator=lambda: _connect(path, mode), poolclass=QueuePool, pool_size=1
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if create:
            connection.execute("PRAGMA journal_mode = WAL")  # readers and a writer side by side
            connection.execute("PRAGMA synchronous = FULL")  # a committed block outlives a crash
        else:
            connection.execute("PRAGMA query_only = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if create else "BEGIN")

    return engine


def _create_tables(engine: sa.Engine) -> None:
    """Make all tables in one transaction, so that no kill leaves half of them."""
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table(meta.name):
            metadata.create_all(connection)
            rows = [{"name": "kind", "value": _KIND}, {"name": "format", "value": str(FORMAT)}]
            connection.execute(meta.insert(), rows)


def _check_format(engine: sa.Engine, location: str) -> None:
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table(meta.name):
            raise BadFile(f"{location} is not a profile database: make one with `atb profile`.")
        found = {row.name: row.value for row in connection.execute(sa.select(meta))}
    if found.get("kind") != _KIND:
        raise BadFile(f"{location} is not a profile database: choose another with --db.")
    number = found.get("format", "")
    if number != str(FORMAT):
        raise BadFile(
            f"{location} has format {number} and this version reads {FORMAT}: "
            "use the version of atb that wrote it, or choose another with --db."
        )
