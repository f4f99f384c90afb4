import math
import os
import shutil
import sqlite3
from dataclasses import replace
from functools import partial

import pytest
from racing import opened, race

from atb.devices.contract import Loaded
from atb.devices.settings import RunSettings
from atb.errors import BadFile, InputError, RunError
from atb.models.published import PUBLISHED
from atb.profiler.database import schema
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.record import Failure, LoadRecord, ModelFile
from atb.profiler.statistics.estimators import DEFAULT_ESTIMATOR


def open_campaign(database, conditions, **fields):
    given = {
        "name": "night",
        "space": "mini",
        "seed": 0,
        "launches": 3,
        "sentinel": PUBLISHED["bert-tiny"],
        **fields,
    }
    return database.open_campaign(conditions=conditions, **given)


@pytest.fixture
def filled(location, conditions, make_record):
    """A closed database with one campaign of three blocks."""
    with ProfileDatabase(location, create=True) as database:
        campaign = open_campaign(database, conditions)
        for launch in range(3):
            database.append_block(campaign, make_record(launch, 0, 0.010, 0.001))
    return location


def test_what_is_written_is_read_back_exactly(anywhere, conditions, make_record, architecture):
    record = replace(
        make_record(0, 0, 0.1 + 0.2, 1e-3 / 3),
        artefact_sha256="ab" * 32,
        state={"load": None, "f": 1.5},
        state_after={"energy_joules": 0.7},
    )
    known = Loaded(0.1 + 0.2, 1e-3 / 3, ("a", "b"), -1.5, memory_bytes=2**40)
    unknown = Loaded(0.25, 0.5, (), math.inf)
    loads = [
        LoadRecord(architecture, 0, known, "ab" * 32, 2**33, 1.5),
        LoadRecord(ModelFile("mine.onnx", "0123456789ab"), 2, unknown, "", 0, 2.5),
        LoadRecord(architecture, 0, known, "ab" * 32, 2**33, 1.5),  # a repeated launch repeats them
    ]
    failure = Failure(architecture, conditions, "night", "crash", "signal 11", 2.5)
    of_device = Failure(None, conditions, "night", "device-gone", "unplugged", 3.5)
    with ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database, conditions)
        database.append_block(campaign, record)
        for load in loads:
            database.append_load(campaign, load)
        database.append_failure(campaign, failure)
        database.append_failure(campaign, of_device)
    with ProfileDatabase(anywhere) as database:
        assert database.conditions() == [conditions]
        assert database.campaigns() == [campaign]
        assert database.blocks(campaign) == [record]
        assert database.loads(campaign) == loads
        assert database.failures() == [failure, of_device]
        (found,) = read_measurements(database)
        assert found.blocks == (record,)
        assert found.conditions == conditions
        assert found.sentinel_reference == pytest.approx(1e-3 / 3)


def test_closing_leaves_one_file(filled):
    with ProfileDatabase(filled) as database:
        read_measurements(database)
    assert [path.name for path in filled.parent.iterdir()] == [filled.name]


def test_a_block_is_on_the_disk_when_append_returns(location, conditions, make_record):
    with ProfileDatabase(location, create=True) as database:
        campaign = open_campaign(database, conditions)
        database.append_block(campaign, make_record(0, 0, 0.010))
        with ProfileDatabase(location) as other:
            assert len(other.blocks(campaign)) == 1
        with database.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_the_same_block_twice_is_refused(anywhere, conditions, make_record):
    with ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database, conditions)
        database.append_block(campaign, make_record(0, 0, 0.010))
        with pytest.raises(RunError, match="Another process"):
            database.append_block(campaign, make_record(0, 0, 0.020))
        assert len(database.blocks(campaign)) == 1


def test_the_same_command_finds_its_campaign_and_new_numbers_another(anywhere, conditions):
    with ProfileDatabase(anywhere, create=True) as database:
        first = open_campaign(database, conditions)
        assert open_campaign(database, conditions) == first
        second = open_campaign(database, conditions, new=True)
        assert (first.label, second.label) == ("night", "night-2")
        # without `new` the latest goes on
        assert open_campaign(database, conditions) == second


def test_another_command_is_another_campaign(anywhere, conditions):
    other = replace(conditions, settings=RunSettings(threads=2))
    with ProfileDatabase(anywhere, create=True) as database:
        made = [
            open_campaign(database, conditions),
            open_campaign(database, conditions, seed=1),
            open_campaign(database, conditions, space="kd"),
            open_campaign(database, conditions, launches=4),
            open_campaign(database, conditions, sentinel=PUBLISHED["bert-mini"]),
            open_campaign(database, conditions, identity=["L1"]),
            open_campaign(database, other),
            open_campaign(database, conditions, name="night-3"),
        ]
        assert len({campaign.id for campaign in made}) == len(made)
        assert len({campaign.label for campaign in made}) == len(made)
        assert database.campaigns() == made


def test_filters_choose_measurements_and_failures(anywhere, conditions, make_record, architecture):
    other = replace(conditions, settings=RunSettings(threads=2))
    with ProfileDatabase(anywhere, create=True) as database:
        for known, space in ((conditions, "mini"), (other, "mini"), (conditions, "kd")):
            campaign = open_campaign(database, known, space=space)
            database.append_block(campaign, make_record(0, 0, 0.010))
            failure = Failure(architecture, known, campaign.label, "crash", "", 1.0)
            database.append_failure(campaign, failure)
        for select in (partial(read_measurements, database), database.failures):
            assert len(select()) == 3
            assert len(select(conditions)) == 2
            assert len(select(conditions, space="kd")) == 1
            assert [found.campaign for found in select(campaign="night-2")] == ["night-2"]
            assert select(campaign="day") == []


def test_intervals_are_sequential_where_a_precision_was_asked_for(
    anywhere, conditions, make_record
):
    with ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database, conditions)
        database.append_session(campaign, started_at=1.0, within=None)
        for launch in range(5):
            database.append_block(campaign, make_record(launch, 0, 0.010))
        assert [(m.sequential, m.within) for m in read_measurements(database)] == [(False, None)]
        database.append_session(campaign, started_at=2.0, within=0.01)
        assert [(m.sequential, m.within) for m in read_measurements(database)] == [(True, 0.01)]


def test_campaigns_of_one_sentinel_are_corrected_to_the_same_level(
    anywhere, conditions, make_record
):
    with ProfileDatabase(anywhere, create=True) as database:
        slow_day, exponent = 1.1, DEFAULT_ESTIMATOR.sentinel_exponent
        for campaign, factor in (("quiet", 1.0), ("slow", slow_day)):
            opened = open_campaign(database, conditions, name=campaign)
            for launch in range(3):
                record = make_record(launch, 0, 0.010 * factor**exponent, 0.001 * factor)
                database.append_block(opened, record)
        other = open_campaign(database, conditions, name="other", sentinel=PUBLISHED["bert-mini"])
        database.append_block(other, make_record(0, 0, 0.010, 0.005))
        quiet, slow, apart = read_measurements(database)
        assert quiet.latency_seconds == pytest.approx(slow.latency_seconds)
        assert quiet.sentinel_reference == slow.sentinel_reference == pytest.approx(0.001)
        assert apart.sentinel_reference == pytest.approx(0.005)
        # a filter changes nothing
        (alone,) = read_measurements(database, campaign="slow")
        assert alone == slow


def test_the_level_is_that_of_the_first_blocks_by_their_clock_not_by_arrival(
    location, conditions, make_record, monkeypatch
):
    monkeypatch.setattr("atb.profiler.statistics.sentinel.LEVEL_BLOCKS", 3)
    with ProfileDatabase(location, create=True) as database:
        late = open_campaign(database, conditions, name="late")
        early = open_campaign(database, conditions, name="early")
        for campaign, started_at, sentinel in ((late, 9.0, 0.000995), (early, 5.0, 0.001)):
            for launch in range(3):
                record = make_record(launch, 0, 0.010, sentinel)
                readings = replace(record.readings, started_at=started_at)
                database.append_block(campaign, replace(record, readings=readings))
        (level,) = {m.sentinel_reference for m in read_measurements(database)}
        assert level == pytest.approx(0.001, rel=1e-3)


def test_last_words_that_no_database_takes_are_made_readable(anywhere, conditions, architecture):
    with ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database, conditions)
        words = "zero \0 half \udc80 whole \u00e9"
        failure = Failure(architecture, conditions, "night", "crash", words, 1.0)
        database.append_failure(campaign, failure)
        (found,) = database.failures()
        assert found.detail == "zero \ufffd half ? whole \u00e9"


@pytest.mark.parametrize("new", [False, True])
def test_processes_that_open_the_same_campaign_at_once_neither_fail_nor_double(anywhere, new):
    found = race(opened, anywhere, new)
    labels = {"night", *(f"night-{number}" for number in range(2, 1 + len(found)))}
    assert {label for label, _ in found} == (labels if new else {"night"})
    assert len({uuid for _, uuid in found}) == (len(found) if new else 1)
    with ProfileDatabase(anywhere) as database:
        assert len(database.campaigns()) == (len(found) if new else 1)
        assert len(database.conditions()) == 1


def test_a_latency_stays_what_it_was_while_the_database_grows(
    location, conditions, make_record, monkeypatch
):
    monkeypatch.setattr("atb.profiler.statistics.sentinel.LEVEL_BLOCKS", 3)
    with ProfileDatabase(location, create=True) as database:
        first = open_campaign(database, conditions, name="first")
        for launch in range(3):
            database.append_block(first, make_record(launch, 0, 0.010, 0.001))
        (before,) = read_measurements(database)
        faster = open_campaign(database, conditions, name="faster")
        for launch in range(9):  # within the band: no other state
            database.append_block(faster, make_record(launch, 0, 0.008, 0.00099))
        after, other = read_measurements(database)
        assert after == before
        assert other.sentinel_reference == before.sentinel_reference


def test_reading_a_missing_database_makes_nothing(location):
    with pytest.raises(BadFile, match="does not exist"):
        ProfileDatabase(location)
    assert not location.exists()


def test_a_database_opened_for_reading_is_not_written(filled, conditions, architecture):
    before = filled.read_bytes()
    with ProfileDatabase(filled) as database:
        (campaign,) = database.campaigns()
        with pytest.raises(InputError, match="Cannot open"):
            database.append_failure(
                campaign, Failure(architecture, conditions, "night", "crash", "", 1.0)
            )
    assert filled.read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    "content", [b"not a database", b"SQLite format 3\x00" + b"\x07" * 5000, b"{}" * 4096]
)
def test_a_file_of_another_kind_is_refused_and_left_alone(location, content, create):
    location.write_bytes(content)
    with pytest.raises(BadFile):
        ProfileDatabase(location, create=create)
    assert location.read_bytes() == content
    assert list(location.parent.iterdir()) == [location]


@pytest.mark.parametrize("create", [False, True])
def test_somebody_elses_sqlite_file_is_refused_and_left_alone(location, create):
    connection = sqlite3.connect(location)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.commit()
    connection.close()
    before = location.read_bytes()
    with pytest.raises(BadFile, match="not a profile database"):
        ProfileDatabase(location, create=create)
    assert location.read_bytes() == before
    assert list(location.parent.iterdir()) == [location]


@pytest.mark.parametrize("create", [False, True])
def test_a_corrupted_database_is_refused_and_left_alone(filled, create):
    content = bytearray(filled.read_bytes())
    content[4096 : len(content) // 2] = b"\x5a" * (len(content) // 2 - 4096)
    filled.write_bytes(content)
    with pytest.raises(BadFile):
        ProfileDatabase(filled, create=create)
    assert filled.read_bytes() == bytes(content)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_database_is_refused_and_left_alone(filled, share):
    content = filled.read_bytes()
    content = content[: int(len(content) * share)]
    filled.write_bytes(content)
    with pytest.raises(BadFile):
        ProfileDatabase(filled, create=True)
    assert filled.read_bytes() == content


def test_a_newer_format_is_refused_and_left_alone(filled):
    connection = sqlite3.connect(filled)
    newer = schema.FORMAT + 1
    connection.execute(f"UPDATE atb_meta SET value = '{newer}' WHERE name = 'format'")
    connection.commit()
    connection.close()
    before = filled.read_bytes()
    for create in (False, True):
        with pytest.raises(BadFile, match=f"format {newer}"):
            ProfileDatabase(filled, create=create)
    assert filled.read_bytes() == before


def test_a_folder_is_no_database(tmp_path):
    with pytest.raises(BadFile):
        ProfileDatabase(tmp_path)
    with pytest.raises(InputError):
        ProfileDatabase(tmp_path, create=True)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="Cannot write"):
        ProfileDatabase(tmp_path / "file" / "profile.db", create=True)


@pytest.mark.parametrize("url", ["nonsense://x/y", "postgresql+nodriver://host/name"])
def test_a_url_that_cannot_be_used_is_the_users_input(url):
    with pytest.raises(InputError):
        ProfileDatabase(url, create=True)


def test_an_sqlite_url_is_a_path(filled):
    with ProfileDatabase(f"sqlite:///{filled}") as database:
        assert len(read_measurements(database)) == 1


def test_the_tables_can_be_made_on_a_server():
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    statements = [
        str(CreateTable(table).compile(dialect=postgresql.dialect()))
        for table in schema.metadata.sorted_tables
    ]
    assert len(statements) == 7
    assert "UNIQUE (campaign_id, architecture, launch, block)" in "".join(statements)


def test_an_empty_file_becomes_a_database_only_when_writing(location):
    location.touch()  # what a kill leaves before the first transaction
    with pytest.raises(BadFile, match="is empty"):
        ProfileDatabase(location)
    with ProfileDatabase(location, create=True) as database:
        assert read_measurements(database) == []


def test_a_full_disk_ends_the_run_and_keeps_what_was_measured(filled, make_record):
    with ProfileDatabase(filled, create=True) as database:
        (campaign,) = database.campaigns()
        with database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        written = 0
        with pytest.raises(RunError, match="full") as caught:
            for launch in range(3, 1000):
                database.append_block(campaign, make_record(launch, 0, 0.010, 0.001))
                written += 1
        assert caught.value.exit_code == 1
        assert 0 < written < 996
    with ProfileDatabase(filled) as database:
        assert len(database.blocks(campaign)) == 3 + written


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_database_in_a_folder_without_permission_is_still_read(filled):
    filled.parent.chmod(0o500)
    try:
        with ProfileDatabase(filled) as database:
            assert len(read_measurements(database)) == 1
    finally:
        filled.parent.chmod(0o700)


def test_a_copy_taken_while_writing_reads_whole_blocks(location, conditions, make_record):
    with ProfileDatabase(location, create=True) as database:
        campaign = open_campaign(database, conditions)
        for launch in range(5):
            database.append_block(campaign, make_record(launch, 0, 0.010))
        copy = location.with_name("copy.db")
        for suffix in ("", "-wal"):
            shutil.copy(f"{location}{suffix}", f"{copy}{suffix}")
    with ProfileDatabase(copy) as database:
        assert len(database.blocks(campaign)) == 5
