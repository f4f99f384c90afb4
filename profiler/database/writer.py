"""The profile database: every block, load and failure, append-only, a transaction each.

One process at a time measures a campaign, under a lock that vanishes with its holder, however it
ends. Beside a SQLite file it is a lock of the system on an empty file of its own, which is deleted
when it is released; one that a killed process left behind is deleted by the next one that holds any
campaign there. On PostgreSQL it is an advisory lock of the session that writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from atb.errors import InputError, RunError
from atb.files import release, take
from atb.models import Architecture
from atb.profiler import BlockRecord, Campaign, Conditions, Failure, LoadRecord
from atb.profiler.database import schema
from atb.profiler.database.engine import DatabaseHandle, exclusive_transaction, translate_errors
from atb.profiler.database.reader import ProfileReader
from atb.profiler.database.rows import (
    ROW_ERRORS,
    block_to_row,
    check_part,
    decode_rows,
    failure_to_row,
    load_to_row,
    pack,
    row_to_campaign,
    why,
)
from atb.profiler.database.schema import campaigns, conditions

#: A killed holder's last block may still be on its way to a server, and leftovers may be swept.
_LOCK_WAIT_SECONDS = 2.0
_ASK_SECONDS = 0.05


class ProfileDatabase(ProfileReader):
    """All measurements and failures, in a SQLite file or on a server by URL.

    A context manager that closes the connection.

    Args:
        location: Path of a SQLite file, or a URL such as `postgresql://USER@HOST/NAME`.
        create: Whether to write; what is missing is made, an older format is brought to the
            present one. Else it must exist and is only read.

    Attributes:
        handle: The connection, what the database is called, and the format that it has.

    Raises:
        BadFile: It is missing, foreign, corrupted or of a newer format; it was not touched.
        InputError: It cannot be written or reached.
        MissingExtra: The driver of the server is not installed.
    """

    def __init__(self, location: str | Path, *, create: bool = False) -> None:
        super().__init__(location, create=create)
        self._held: set[str] = set()

    def open_campaign(
        self,
        *,
        name: str,
        space: str,
        seed: int,
        conditions: Conditions,
        launches: int,
        sentinel: Architecture,
        identity: Sequence[Any] = (),
        new: bool = False,
    ) -> Campaign:
        """Find the campaign that the same command made, or make one.

        Args:
            name: What the user calls it.
            space: Name of the search space; empty where architectures are listed.
            seed: Of the samples.
            conditions: Of the measurements.
            launches: Of each architecture, before the stop rule asks for more.
            sentinel: Timed next to every block.
            identity: What else makes a command another one: JSON-able values.
            new: Make one even if there is one.
        """
        key = command_key([name, space, seed, conditions.key, launches, str(sentinel), *identity])
        with exclusive_transaction(self.engine, self.location) as connection:
            found = None if new else find_campaign(connection, "key", key)
            if found is not None and found.conditions_key != conditions.key:
                found = None  # it came with a key that is not its own
            if found is None:
                values: dict[str, Any] = {
                    "key": key,
                    "name": name,
                    "space": space,
                    "seed": seed,
                    "launches": launches,
                    "sentinel": str(sentinel),
                    "conditions_id": enter_conditions(connection, conditions.key, conditions),
                    "uuid": uuid.uuid4().hex,
                }
                enter_campaign(connection, values)
                found = find_campaign(connection, "uuid", values["uuid"])
            (campaign,) = decode_rows(row_to_campaign, [found], "campaigns", self.location)
            return campaign

    @contextlib.contextmanager
    def campaign_lock(self, campaign: Campaign) -> Iterator[None]:
        """Be the only one that measures a campaign, until the block ends or the process does.

        Raises:
            RunError: Another one measures it.
            InputError: The folder of the database cannot be written.
        """
        if campaign.uuid in self._held:
            raise RunError(f"The campaign {campaign.label} is being measured already: wait for it.")
        lock = _server_lock if self.handle.path is None else _file_lock
        with lock(self.handle, campaign):
            self._held.add(campaign.uuid)
            try:
                yield
            finally:
                self._held.discard(campaign.uuid)

    def append_session(
        self, campaign: Campaign, *, started_at: float, within: float | None
    ) -> None:
        """Note that a campaign begins or goes on, and with which precision asked for."""
        row = {"campaign_id": campaign.id, "started_at": started_at, "within": within}
        self._append("sessions", campaign, row)

    def append_block(self, campaign: Campaign, record: BlockRecord) -> None:
        """Commit one block.

        Raises:
            RunError: The disk is full, or the block is there already.
        """
        self._append("blocks", campaign, block_to_row(campaign, record))

    def append_load(self, campaign: Campaign, load: LoadRecord) -> None:
        """Commit one load."""
        self._append("loads", campaign, load_to_row(campaign, load))

    def append_failure(self, campaign: Campaign, failure: Failure) -> None:
        """Commit one failure."""
        self._append("failures", campaign, failure_to_row(campaign, failure))

    def _append(self, table: str, campaign: Campaign, row: Mapping[str, Any]) -> None:
        try:
            check_part(table, row, campaign)
        except ROW_ERRORS as error:
            raise RunError(
                f"What came from the device cannot be kept in {self.location} ({why(error)}): "
                "the device or its runtime answers what it should not; look into it with "
                "`atb devices check`."
            ) from error
        with translate_errors(self.location), self.engine.begin() as connection:
            connection.execute(schema.metadata.tables[f"atb_{table}"].insert().values(row))


def command_key(content: Sequence[Any]) -> str:
    """A hash of what makes a command the same command: JSON-able values."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def find_campaign(connection: sa.Connection, column: str, value: str) -> sa.Row[Any] | None:
    """The newest campaign with this value in a column, with the document of its conditions."""
    query = (
        sa.select(campaigns, conditions.c.document, conditions.c.key.label("conditions_key"))
        .join(conditions, campaigns.c.conditions_id == conditions.c.id)
        .where(campaigns.c[column] == value)
        .order_by(campaigns.c.number.desc(), campaigns.c.id.desc())
    )
    return connection.execute(query).first()


def enter_campaign(
    connection: sa.Connection, values: Mapping[str, Any], *, number: int = 0, label: str = ""
) -> None:
    """Enter a campaign under a label that is free.

    Args:
        connection: See above.
        values: All other columns.
        number: With `label`, what it was called elsewhere; kept where nobody has that label.
        label: See `number`.
    """
    if not label or _taken(connection, label):
        number, label = _next_label(connection, values["name"])
    connection.execute(campaigns.insert().values(**values, number=number, label=label))


def _next_label(connection: sa.Connection, name: str) -> tuple[int, str]:
    """The next number of a name, and the label that it makes."""
    query = sa.select(sa.func.max(campaigns.c.number)).where(campaigns.c.name == name)
    number = (connection.execute(query).scalar() or 0) + 1
    while True:
        label = name if number == 1 else f"{name}-{number}"
        # someone may have chosen that very text as a name
        if not _taken(connection, label):
            return number, label
        number += 1


def _taken(connection: sa.Connection, label: str) -> bool:
    query = sa.select(campaigns.c.id).where(campaigns.c.label == label)
    return connection.execute(query).first() is not None


def enter_conditions(connection: sa.Connection, key: str, document: str | Conditions) -> int:
    """The number of conditions in this database; they are entered where they are new."""
    known = connection.execute(sa.select(conditions.c.id).where(conditions.c.key == key)).scalar()
    if known is not None:
        return int(known)
    text = document if isinstance(document, str) else pack(document.to_json())
    row = {"key": key, "document": text}
    made = connection.execute(conditions.insert().values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])


# -------------------------------------------------------------------- the lock of a campaign


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
