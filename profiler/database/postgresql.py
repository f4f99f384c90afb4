"""A profile database on a PostgreSQL server, by URL."""

from __future__ import annotations

import importlib.util
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from atb.errors import InputError, MissingExtra

#: What of the query says where a server is; others may be keys, passwords and paths to them.
_SHOWN = ("host", "hostaddr", "port", "service")
_CONNECT_SECONDS = "10"
#: After how long the server misses a machine that vanished, so that what it held is free again.
_KEEPALIVE = {
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
}


def parse_url(text: str) -> sa.URL:
    """Read a URL such as `postgresql://user@host/name`, with or without `+psycopg`.

    Raises:
        InputError: It is none, or one of another kind of server.
    """
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            "--db is not a database URL: give a file, or postgresql://USER@HOST/NAME."
        ) from error
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername != "postgresql+psycopg":
        raise InputError(
            f"--db names the server {url.drivername}: "
            "give a file, or postgresql://USER@HOST/NAME (the driver is psycopg)."
        )
    if url.host is not None and ("@" in url.host or "/" in url.host):
        raise InputError(
            "--db is a database URL with a second @ or / in its first part: write those of a "
            "password as %40 and %2F."
        )
    if (secret := url.query.get("password")) is not None:  # libpq takes it there too
        last = secret if isinstance(secret, str) else secret[-1]
        url = url.difference_update_query(["password"]).set(password=last)
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": _CONNECT_SECONDS})
    return url


def describe_url(url: sa.URL) -> str:
    """What to call a server: where it is, and nothing that somebody could log in with."""
    shown = url.difference_update_query([name for name in url.query if name not in _SHOWN])
    return shown.set(drivername="postgresql").render_as_string(hide_password=True)


def server_engine(url: sa.URL, *, create: bool) -> sa.Engine:
    """Connect to a server.

    One connection only: a lock that a session holds must be that of the session that writes, so
    that a killed writer's last block is in before anybody else holds its campaign.

    Args:
        url: From `parse_url`.
        create: Whether to write.

    Raises:
        MissingExtra: The driver is not installed.
        InputError: The server cannot be reached.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise MissingExtra("psycopg", "postgresql")
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",  # what another one committed is seen once its lock is had
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        execution_options={} if create else {"postgresql_readonly": True},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            for name, value in _KEEPALIVE.items():
                cursor.execute(f"SET {name} = {value}")
        connection.commit()

    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        engine.dispose()
        raise _unreachable(url, error) from error
    return engine


def _unreachable(url: sa.URL, error: SQLAlchemyError) -> InputError:
    text = str(getattr(error, "orig", error)).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    if url.password:
        line = line.replace(url.password, "***")
    return InputError(
        f"Cannot reach {describe_url(url)} ({line}): check host, name, user and password."
    )
