"""Processes that do the same at the same moment, or hold something until they are killed."""

import contextlib
import os
import signal
import time

from killing import processes

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.published import PUBLISHED
from atb.profiler.database import migration
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.record import Conditions

_LONGEST_SECONDS = 60


def open_campaign(database, name="night", threads=1, *, new=False):
    """A campaign of a simulated device."""
    device = FakeDevice()
    conditions = Conditions.of(device, device.runtimes["fake"], RunSettings(threads=threads))
    return database.open_campaign(
        name=name,
        space="mini",
        seed=0,
        conditions=conditions,
        launches=3,
        sentinel=PUBLISHED["bert-tiny"],
        new=new,
    )


def opened(location, new):
    """Open a database, which may not be there yet, and the same campaign as all others."""
    with ProfileDatabase(location, create=True) as database:
        campaign = open_campaign(database, new=new)
        return campaign.label, campaign.uuid


def migrated(location):
    """Open a database of an older format for writing."""
    with ProfileDatabase(location, create=True) as database:
        return [campaign.uuid for campaign in database.campaigns()]


def die_in_the_middle_of_migrating(location):
    """Kill this process when some tables have new columns and others have not."""
    migration._note_starts = lambda connection: os.kill(os.getpid(), signal.SIGKILL)
    ProfileDatabase(location, create=True)


def _run(function, arguments, barrier, pipe):
    barrier.wait(_LONGEST_SECONDS)
    pipe.send(function(*arguments))


def race(function, *arguments, runners=6):
    """Run a function of this module in several processes at the same moment.

    Returns:
        What each of them returned.
    """
    barrier = processes.Barrier(runners)
    found = []
    for _ in range(runners):
        receiver, sender = processes.Pipe(duplex=False)
        process = processes.Process(
            target=_run, args=(function, arguments, barrier, sender), daemon=True
        )
        process.start()
        sender.close()
        found.append((process, receiver))
    results = []
    for process, receiver in found:
        with contextlib.suppress(EOFError):  # it failed; its errors are on stderr
            results.append(receiver.recv())
        process.join()
    assert len(results) == runners, "a process failed"
    return results


def _hold(location, pipe, busy_seconds):
    with (
        ProfileDatabase(location, create=True) as database,
        database.campaign_lock(open_campaign(database)),
    ):
        pipe.send("held")
        if busy_seconds:
            with database.engine.connect() as connection:
                connection.exec_driver_sql(f"SELECT pg_sleep({busy_seconds})")
        time.sleep(_LONGEST_SECONDS)


@contextlib.contextmanager
def holder(location, busy_seconds=0):
    """A process that holds the campaign `night`; with `busy_seconds` its server works so long."""
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=_hold, args=(location, sender, busy_seconds), daemon=True)
    process.start()
    sender.close()
    try:
        assert receiver.recv() == "held"
        yield process
    finally:
        process.kill()
        process.join()
