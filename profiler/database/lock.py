"""One process at a time measures a campaign: a lock that vanishes with its holder, however it ends.

Beside a SQLite file it is a lock of the system on an empty file of its own, which is deleted when
it is released; one that a killed process left behind is deleted by the next one that holds any
campaign there. On PostgreSQL it is an advisory lock of the session that writes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from atb.errors import InputError, RunError
from atb.file_lock import release, take
from atb.profiler import Campaign
from atb.profiler.database.engine import DatabaseHandle
from atb.profiler.database.errors import translate_errors

__all__ = ["campaign_lock"]

#: A killed holder's last block may still be on its way to a server, and leftovers may be swept.
_LOCK_WAIT_SECONDS = 2.0
_ASK_SECONDS = 0.05


@contextlib.contextmanager
def campaign_lock(handle: DatabaseHandle, campaign: Campaign) -> Iterator[None]:
    """Be the only process that measures a campaign.

    Raises:
        RunError: Another one does.
        InputError: The folder of the database cannot be written.
    """
    held = _server_lock if handle.path is None else _file_lock
    with held(handle, campaign):
        yield


def _insist(ask: Callable[[], bool], handle: DatabaseHandle, campaign: Campaign) -> None:
    """Ask until the answer is yes, or patience is at its end."""
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while not ask():
        if time.monotonic() >= deadline:
            raise RunError(
                f"The campaign {campaign.label} in {handle.location} is being measured by another "
                "process: wait for its end and run the command again, or measure another campaign "
                "with --campaign NAME or --new-campaign."
            )
        time.sleep(_ASK_SECONDS)


# -------------------------------------------------------------------- beside a file


@contextlib.contextmanager
def _file_lock(handle: DatabaseHandle, campaign: Campaign) -> Iterator[None]:
    assert handle.path is not None
    database = handle.path.resolve()
    path = _lock_file(database, campaign.uuid)
    taken: list[int] = []

    def ask() -> bool:
        descriptor = take(path)
        if descriptor is not None:
            taken.append(descriptor)
        return bool(taken)

    try:
        _sweep(database)
        _insist(ask, handle, campaign)
    except OSError as error:
        raise InputError(
            f"Cannot lock {path} ({error.strerror}): choose another place with --db."
        ) from error
    try:
        yield
    finally:
        release(path, *taken)


def _lock_file(database: Path, name: str) -> Path:
    return database.with_name(f".{database.name}.{name}.lock")


def _sweep(database: Path) -> None:
    """Delete what killed processes left behind."""
    for left in database.parent.glob(_lock_file(database, "*").name):
        descriptor = take(left)
        if descriptor is not None:
            release(left, descriptor)


# -------------------------------------------------------------------- on a server


@contextlib.contextmanager
def _server_lock(handle: DatabaseHandle, campaign: Campaign) -> Iterator[None]:
    engine = handle.engine
    number = int.from_bytes(bytes.fromhex(campaign.uuid)[:8], "big", signed=True)

    def ask() -> bool:
        with translate_errors(handle.location), engine.begin() as connection:
            query = sa.select(sa.func.pg_try_advisory_lock(number))
            return bool(connection.execute(query).scalar())

    _insist(ask, handle, campaign)
    try:
        yield
    finally:
        # a connection that is lost has released it already
        with contextlib.suppress(SQLAlchemyError), engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(number)))
