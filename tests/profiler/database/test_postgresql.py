"""What is said of a database: where it is and what is wrong, and never a password."""

import sqlite3

import pytest

from atb.errors import AtbError, BadFile
from atb.profiler.database.engine import translate_errors
from atb.profiler.database.postgresql import describe_url, parse_url
from atb.profiler.database.writer import ProfileDatabase


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.1:1/atb",
        "postgresql://me@127.0.0.1:1/atb?password=s3cret",
        "postgresql://me@127.0.0.1:1/atb?sslpassword=s3cret&application_name=s3cret",
        "postgresql://me:first@127.0.0.1:1/atb?password=other&password=s3cret",
        "postgresql://:s3cret@127.0.0.1:1/atb",
        "postgresql://me:a@s3cret@127.0.0.1:1/atb",
        "postgresql://me:s3cret@127.0.0.1:port/atb",
        "postgresql:/me:s3cret@127.0.0.1/atb",
        "postgres:me:s3cret@127.0.0.1/atb",
        "mysql://me:s3cret@127.0.0.1/atb",
    ],
)
def test_no_error_shows_a_password_wherever_it_stood(url):
    with pytest.raises(AtbError) as refused:
        ProfileDatabase(url)
    told = str(refused.value)
    assert "s3cret" not in told
    assert "--db" in told or "@127.0.0.1:1/atb" in told


def test_a_server_is_called_by_its_place_alone():
    url = parse_url("postgresql://me@host/atb?password=s3cret&host=/run/pg&sslkey=/home/me/key")
    assert url.password == "s3cret"
    assert describe_url(url) == "postgresql://me:***@host/atb?host=%2Frun%2Fpg"


@pytest.mark.parametrize("said", [b"\xee", b"malformed database schema (\x0e\n\x1b[2J)"])
def test_what_a_database_says_of_its_damage_is_one_sentence(said):
    with (
        pytest.raises(BadFile, match="corrupted") as refused,
        translate_errors("night.db"),
    ):
        raise sqlite3.DatabaseError(said.decode())
    assert str(refused.value).isprintable()
