"""What is true of a server beside what tests of files and servers alike say."""

import pytest
from racing import open_campaign

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import BadFile, InputError, MissingExtra, RunError
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.postgresql import parse_url
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.record import Failure

#: Campaigns and processes of several seconds each.
pytestmark = pytest.mark.slow


def test_a_campaign_says_the_same_on_a_server_as_in_a_file(postgresql, location):
    found = []
    for place in (location, postgresql):
        device = FakeDevice(noise=0.02, preemption=0.05)
        plan = Plan.sample(SPACES["mini"], 4, within=0.01)
        device.failures[str(plan.subjects[1])] = "crash"
        with ProfileDatabase(place, create=True) as database:
            result = run_campaign(device, device.runtimes["fake"], RunSettings(), plan, database)
        with ProfileDatabase(place) as database:
            found.append((result.measurements, result.failures, read_measurements(database)))
        assert len(result.measurements) == 3
    assert found[0] == found[1]


def test_a_campaign_on_a_server_goes_on(postgresql):
    for samples in (2, 4, 4):
        device = FakeDevice()
        with ProfileDatabase(postgresql, create=True) as database:
            plan = Plan.sample(SPACES["mini"], samples)
            run_campaign(device, device.runtimes["fake"], RunSettings(), plan, database)
    with ProfileDatabase(postgresql) as database:
        assert [campaign.label for campaign in database.campaigns()] == ["profile"]
        assert len(read_measurements(database)) == 4


def test_who_reads_cannot_write(postgresql):
    with ProfileDatabase(postgresql, create=True) as database:
        campaign = open_campaign(database)
    with ProfileDatabase(postgresql) as database:
        failure = Failure(None, campaign.conditions, "night", "crash", "", 1.0)
        with pytest.raises(InputError, match="read-only"):
            database.append_failure(campaign, failure)
        assert database.failures() == []


def test_a_server_without_our_tables_is_refused_and_left_alone(postgresql_server, postgresql):
    name = parse_url(postgresql).database
    postgresql_server.ask("CREATE TABLE songs (title text)", name)
    with pytest.raises(BadFile, match="not a profile database"):
        ProfileDatabase(postgresql)
    with ProfileDatabase(postgresql, create=True) as database:  # a server may hold more than ours
        assert database.campaigns() == []
    assert postgresql_server.ask("SELECT count(*) FROM songs", name) == [(0,)]


def test_a_server_that_is_not_there_is_one_sentence(postgresql_server, tmp_path):
    for url in (
        f"postgresql://nobody@/x?host={tmp_path}",
        "postgresql://localhost:1/x",
        postgresql_server.url("missing"),
    ):
        with pytest.raises(InputError, match="Cannot reach") as caught:
            ProfileDatabase(url)
        assert "\n" not in str(caught.value)


def test_a_connection_that_is_lost_between_blocks_is_made_anew(postgresql_server, postgresql):
    with ProfileDatabase(postgresql, create=True) as database:
        campaign = open_campaign(database)
        with database.engine.connect() as connection:
            (process,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
        postgresql_server.ask(f"SELECT pg_terminate_backend({process}, 5000)")
        database.append_session(campaign, started_at=1.0, within=None)
        assert len(database.campaigns()) == 1


def test_the_same_block_twice_is_refused_and_the_connection_stays(postgresql, make_record):
    with ProfileDatabase(postgresql, create=True) as database:
        campaign = open_campaign(database)
        database.append_block(campaign, make_record(0, 0, 0.010))
        with pytest.raises(RunError, match="Another process"):
            database.append_block(campaign, make_record(0, 0, 0.020))
        database.append_block(campaign, make_record(0, 1, 0.020))
        assert len(database.blocks(campaign)) == 2


def test_a_url_needs_no_driver_and_its_password_stays_secret():
    url = parse_url("postgresql://me:sesame@host/name")
    assert url.drivername == "postgresql+psycopg"
    assert "sesame" not in url.render_as_string(hide_password=True)
    assert parse_url("postgresql+psycopg://host/name?connect_timeout=3").query == {
        "connect_timeout": "3"
    }


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql+asyncpg://x/y", "a://b:c:d@@/", "://"])
def test_other_servers_are_the_users_input(url):
    with pytest.raises(InputError, match="postgresql://"):
        parse_url(url)


def test_a_missing_driver_names_its_extra(monkeypatch):
    known = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "atb.profiler.database.postgresql.importlib.util.find_spec",
        lambda name: None if name == "psycopg" else known(name),
    )
    with pytest.raises(MissingExtra, match=r"pip install -e '\.\[postgresql\]'"):
        ProfileDatabase("postgresql://host/name", create=True)
