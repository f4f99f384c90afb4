"""Formats of the profile database: an older one is migrated, or read as it lies there.

`samples/format1.db` was written by two versions that wrote format 1, on the simulated device: the
campaign `night` (a precision was asked for) by the older one, `day` and `night-2` by the last one.
"""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from killing import processes
from racing import die_in_the_middle_of_migrating, migrated, race

from atb.errors import BadFile, InputError
from atb.profiler.database import schema
from atb.profiler.database.migration import STEPS
from atb.profiler.database.rows import block_to_row
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements

SAMPLE = Path(__file__).parents[1] / "samples" / "format1.db"
BLOCK = ("architecture", "launch", "block", "readings", "sentinel_before", "sentinel_after",
         "artefact_sha256", "state")  # fmt: skip


@pytest.fixture
def old(location):
    shutil.copy(SAMPLE, location)
    return location


def rows(path, statement):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def format_of(path):
    return rows(path, "SELECT value FROM atb_meta WHERE name = 'format'")[0][0]


def everything(database):
    campaigns = database.campaigns()
    return (
        campaigns,
        [database.blocks(campaign) for campaign in campaigns],
        [(m.campaign, m.sequential, m.within, m.to_json()) for m in read_measurements(database)],
        database.failures(),
    )


def parsed(text):
    return None if text is None else json.loads(text)


def test_every_format_can_be_reached_from_the_one_before():
    assert list(STEPS) == list(range(2, schema.FORMAT + 1))


def test_the_sample_is_of_format_1_and_small():
    assert format_of(SAMPLE) == "1"
    assert SAMPLE.stat().st_size < 60_000
    assert [label for (label,) in rows(SAMPLE, "SELECT label FROM atb_campaigns ORDER BY id")] == [
        "night", "day", "night-2",
    ]  # fmt: skip


def test_writing_migrates_and_every_reading_stays_what_it_was(old):
    before = rows(old, f"SELECT {', '.join(BLOCK)} FROM atb_blocks ORDER BY id")
    with ProfileDatabase(old, create=True) as database:
        assert database.handle.format == schema.FORMAT
        campaigns = database.campaigns()
        assert [c.label for c in campaigns] == ["night", "day", "night-2"]
        blocks = [(c, block) for c in campaigns for block in database.blocks(c)]
        measurements, failures = read_measurements(database), database.failures()
    assert format_of(old) == str(schema.FORMAT)
    assert rows(old, f"SELECT {', '.join(BLOCK)} FROM atb_blocks ORDER BY id") == before
    # and what is read from it is what was written, to the last digit
    written = sorted(json.dumps([parsed(cell) if str(cell).startswith("{") else cell for cell in r])
                     for r in before)  # fmt: skip
    assert len(blocks) == len(before) > 20
    assert len(measurements) == 6
    assert {f.cause for f in failures} == {"crash"}
    found = []
    for campaign, block in blocks:
        row = block_to_row(campaign, block)
        cells = [parsed(row[n]) if str(row[n]).startswith("{") else row[n] for n in BLOCK]
        found.append(json.dumps(cells))
    known = {name for text in written for name in json.loads(text)[3]}
    assert {"wall_seconds", "cpu_seconds"} <= known
    assert [_lists(text) for text in sorted(found)] == [_lists(text) for text in written]


def _lists(text):
    """Where a version did not know a reading yet, it is absent."""
    architecture, launch, block, *texts, sha256, state = json.loads(text)
    readings = [
        {name: value for name, value in (part or {}).items() if value not in (None, [])}
        for part in texts
    ]
    return architecture, launch, block, readings, sha256, state


def test_reading_leaves_the_file_alone_and_tells_the_same(old):
    before = old.read_bytes()
    with ProfileDatabase(old) as database:
        assert database.handle.format == 1
        read = everything(database)
        loads = [database.loads(campaign) for campaign in database.campaigns()]
        assert loads == [[], [], []]
        with pytest.raises(InputError, match="Cannot open"):
            database.append_session(database.campaigns()[0], started_at=1.0, within=None)
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]
    with ProfileDatabase(old, create=True) as database:
        assert everything(database) == read


def test_a_file_and_folder_that_may_not_be_written_are_read(old, monkeypatch):
    # as for everybody but root
    old.chmod(0o400)
    old.parent.chmod(0o500)
    monkeypatch.setattr("atb.profiler.database.engine.os.access", lambda path, mode: False)
    try:
        with ProfileDatabase(old) as database:
            assert len(read_measurements(database)) == 6
        assert list(old.parent.iterdir()) == [old]
    finally:
        old.parent.chmod(0o700)


def test_a_migrated_database_has_the_tables_of_a_new_one(old, tmp_path):
    def shape(path):
        with ProfileDatabase(path, create=True) as database:
            inspector = sa.inspect(database.engine)
            return {
                table: (
                    {
                        c["name"]: (str(c["type"]).replace("_", " ").split()[0], c["nullable"])
                        for c in inspector.get_columns(table)
                    },
                    sorted((i["name"], i["column_names"], i["unique"])
                           for i in inspector.get_indexes(table)),
                    sorted(c["column_names"] for c in inspector.get_unique_constraints(table)),
                    [(k["constrained_columns"], k["referred_table"])
                     for k in inspector.get_foreign_keys(table)],
                )
                for table in inspector.get_table_names()
            }  # fmt: skip

    assert shape(old) == shape(tmp_path / "new.db")


def test_two_copies_give_their_campaigns_the_same_names(old, tmp_path):
    copy = tmp_path / "copy.db"
    shutil.copy(old, copy)
    with ProfileDatabase(copy, create=True) as database:
        names = [campaign.uuid for campaign in database.campaigns()]
    with ProfileDatabase(old) as database:
        assert [campaign.uuid for campaign in database.campaigns()] == names
    assert len(set(names)) == 3
    assert all(len(bytes.fromhex(name)) == 16 for name in names)


def test_a_migrated_campaign_goes_on(old, conditions, make_record):
    with ProfileDatabase(old, create=True) as database:
        campaign = database.campaigns()[-1]
        database.append_block(campaign, make_record(0, 0, 0.010, 0.001))
        assert len(database.blocks(campaign)) == 1 + len(
            rows(SAMPLE, f"SELECT id FROM atb_blocks WHERE campaign_id = {campaign.id}")
        )


def test_latencies_of_graphs_with_fixed_shapes_are_told_from_those_of_free_ones(old, conditions):
    then = replace(conditions, runtime="onnxruntime", runtime_version="1.27.0")
    with contextlib.closing(sqlite3.connect(old)) as connection, connection:
        connection.execute(
            "UPDATE atb_conditions SET key = ?, document = ?",
            (then.key, json.dumps(then.to_json())),
        )
    with ProfileDatabase(old, create=True) as database:
        (found,) = {m.conditions for m in read_measurements(database)}
        assert read_measurements(database, conditions=then) == []
    assert rows(old, "SELECT key FROM atb_conditions") == [(found.key,)]
    assert found.differences(then) == [
        "runtime_version: 1.27.0, graphs of fixed shapes and 1.27.0",
    ]


@pytest.mark.slow
def test_processes_that_migrate_at_the_same_time_do_it_once(old):
    found = race(migrated, str(old))
    assert all(names == found[0] for names in found)
    assert format_of(old) == str(schema.FORMAT)


def test_a_kill_in_the_middle_leaves_the_older_format_whole(old):
    with ProfileDatabase(old) as database:
        before = everything(database)
    process = processes.Process(target=die_in_the_middle_of_migrating, args=(str(old),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert format_of(old) == "1"
    columns = {name for _, name, *_ in rows(old, "PRAGMA table_info(atb_campaigns)")}
    assert "uuid" not in columns
    with ProfileDatabase(old) as database:
        assert everything(database) == before
    with ProfileDatabase(old, create=True) as database:
        assert everything(database) == before


@pytest.mark.parametrize("text", ["0", "-1", "x", ""])
def test_a_format_that_never_was_is_refused(old, text):
    with contextlib.closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE atb_meta SET value = ? WHERE name = 'format'", (text,))
    before = old.read_bytes()
    for create in (False, True):
        with pytest.raises(BadFile, match="format"):
            ProfileDatabase(old, create=create)
    assert old.read_bytes() == before


@pytest.mark.slow
def test_an_older_format_on_a_server_is_migrated_by_who_writes(postgresql, conditions):
    make_format_1(postgresql, conditions)
    with pytest.raises(BadFile, match="format 1"):
        ProfileDatabase(postgresql)
    with ProfileDatabase(postgresql, create=True) as database:
        (campaign,) = database.campaigns()
        assert campaign.conditions == conditions
        assert len(database.blocks(campaign)) == 1
        uuid = campaign.uuid
    assert race(migrated, postgresql) == [[uuid]] * 6
    with ProfileDatabase(postgresql) as database:
        assert database.handle.format == schema.FORMAT
        assert set(sa.inspect(database.engine).get_table_names()) == set(schema.metadata.tables)


def make_format_1(url, conditions):
    """The tables of format 1 with one block, as a server holds them."""
    import psycopg

    statements = (Path(__file__).parents[1] / "samples" / "format1-postgresql.sql").read_text()
    block = rows(SAMPLE, f"SELECT {', '.join(BLOCK)} FROM atb_blocks LIMIT 1")[0]
    with psycopg.connect(url) as connection:
        connection.execute(statements)
        connection.execute(
            "INSERT INTO atb_conditions (key, document) VALUES (%s, %s)",
            (conditions.key, json.dumps(conditions.to_json())),
        )
        connection.execute(
            "INSERT INTO atb_campaigns (key, label, name, number, space, seed, launches, sentinel,"
            " conditions_id) VALUES ('k', 'night', 'night', 1, 'mini', 0, 3,"
            " 'L2-H128-A2-Q128-F512', 1)"
        )
        connection.execute("INSERT INTO atb_sessions (campaign_id, started_at) VALUES (1, 1.5)")
        connection.execute(
            f"INSERT INTO atb_blocks (campaign_id, {', '.join(BLOCK)}) VALUES (1, %s, %s, %s, %s,"
            " %s, %s, %s, %s)",
            block,
        )


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_of_the_umask(location, mask, mode):
    before = os.umask(mask)
    try:
        with ProfileDatabase(location, create=True):
            beside = [path.stat().st_mode & 0o777 for path in location.parent.glob("*.db*")]
    finally:
        os.umask(before)
    assert set(beside) == {mode}
