"""One process at a time measures a campaign, in a file and on a server alike."""

import time

import pytest
from racing import holder, open_campaign

from atb.errors import InputError, RunError
from atb.profiler.database.writer import ProfileDatabase


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("atb.profiler.database.writer._LOCK_WAIT_SECONDS", 0.1)


@pytest.mark.slow
def test_a_held_campaign_is_refused_to_another_process(anywhere, impatient):
    with holder(anywhere), ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database)
        refused = pytest.raises(RunError, match=r"night .* is being measured by another process")
        with refused, database.campaign_lock(campaign):
            pytest.fail("it was held twice")


def test_a_held_campaign_is_refused_to_the_same_process(anywhere, impatient):
    with ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database)
        with database.campaign_lock(campaign), ProfileDatabase(anywhere, create=True) as other:
            for second in (database, other):
                with (
                    pytest.raises(RunError, match="is being measured"),
                    second.campaign_lock(campaign),
                ):
                    pytest.fail("it was held twice")


def test_other_campaigns_are_free_and_writing_goes_on(anywhere, impatient):
    with holder(anywhere), ProfileDatabase(anywhere, create=True) as database:
        other = open_campaign(database, "day")
        with database.campaign_lock(other):
            database.append_session(other, started_at=1.0, within=None)


def test_it_is_free_again_when_the_block_ends_even_by_an_error(anywhere, impatient):
    with ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database)
        with pytest.raises(ZeroDivisionError), database.campaign_lock(campaign):
            _ = 1 / 0
        with ProfileDatabase(anywhere, create=True) as other, other.campaign_lock(campaign):
            pass


def test_it_is_free_again_when_its_holder_is_killed(anywhere):
    with holder(anywhere) as process, ProfileDatabase(anywhere, create=True) as database:
        campaign = open_campaign(database)
        process.kill()
        with database.campaign_lock(campaign):  # at once: the server needs a moment to notice
            pass


def test_holding_leaves_nothing_beside_the_file(location, impatient):
    with (
        ProfileDatabase(location, create=True) as database,
        database.campaign_lock(open_campaign(database)),
    ):
        assert len(list(location.parent.glob(".profile.db.*.lock"))) == 1
    assert list(location.parent.iterdir()) == [location]


def test_what_a_killed_holder_left_goes_with_the_next_holder(location):
    with holder(str(location)) as process:
        process.kill()
        process.join()
    (left,) = location.parent.glob(".profile.db.*.lock")
    with (
        ProfileDatabase(location, create=True) as database,
        database.campaign_lock(open_campaign(database, "day")),
    ):
        assert not left.exists()
    assert list(location.parent.iterdir()) == [location]


def test_a_file_by_two_names_is_one_database(location, impatient):
    other = location.with_name("link.db")
    other.symlink_to(location)
    with ProfileDatabase(location, create=True) as database:
        campaign = open_campaign(database)
        with (
            database.campaign_lock(campaign),
            ProfileDatabase(other) as second,
            pytest.raises(RunError),
            second.campaign_lock(campaign),
        ):
            pytest.fail("it was held twice")


def test_a_place_without_room_for_a_lock_is_refused(location, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with ProfileDatabase(location, create=True) as database:
        campaign = open_campaign(database)
        monkeypatch.setattr("atb.files.os.open", fail)
        with pytest.raises(InputError, match="No space left"), database.campaign_lock(campaign):
            pytest.fail("nothing was held")


def test_a_killed_writer_holds_until_its_server_session_has_ended(postgresql, monkeypatch):
    monkeypatch.setattr("atb.profiler.database.writer._LOCK_WAIT_SECONDS", 20.0)
    with (
        holder(postgresql, busy_seconds=1.5) as process,
        ProfileDatabase(postgresql, create=True) as database,
    ):
        campaign = open_campaign(database)
        time.sleep(0.3)  # until its server works
        process.kill()
        killed = time.monotonic()
        with database.campaign_lock(campaign):
            # what it had in flight is in by now, and cannot collide with what comes next
            assert time.monotonic() - killed > 0.5


def test_what_lies_beside_for_another_database_is_not_touched(tmp_path):
    (tmp_path / ".other.db.x.lock").touch()
    with (
        ProfileDatabase(tmp_path / "profile.db", create=True) as database,
        database.campaign_lock(open_campaign(database)),
    ):
        pass
    assert (tmp_path / ".other.db.x.lock").exists()
