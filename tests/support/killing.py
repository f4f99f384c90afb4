"""Campaigns in processes of their own that are killed at random moments and resumed.

Every process tells of each block when it is committed. So after a kill it is known what must be
there: all that it told of, and at most the one that was in flight beside.
"""

import contextlib
import math
import os
import tempfile
import time
import zlib
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa
from forked import processes

from atb.devices.fake.device import FakeDevice
from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.errors import BadFile
from atb.models.architecture import Architecture
from atb.models.space import find_space
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database import schema
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements

TINY = tuple(Architecture(1, 128, 2, 128, 128 + 64 * wider) for wider in range(3))


@dataclass(frozen=True)
class Job:
    """One campaign that processes measure one after the other.

    Attributes:
        location: The database; a URL says `application_name=` and the job's name.
        temporary: Where artefacts lie.
        name: Of the campaign.
        device: `fake` or `local`.
        seed: Of its samples.
        samples: How many of them; one more fails.
        pace_seconds: What each block of the simulated device takes, so that kills fall everywhere.
    """

    location: str
    temporary: str
    name: str = "killed"
    device: str = "fake"
    seed: int = 0
    samples: int = 4
    pace_seconds: float = 0.001

    def plan(self):
        if self.device == "fake":
            how = {"launches": 3, "most_launches": 5, "blocks": 2, "within": 0.005}
            plan = Plan.sample(
                find_space("mini"), self.samples + 1, seed=self.seed, name=self.name, **how
            )
            return replace(plan, block_seconds=0.01, sentinel_block_seconds=0.005)
        # a busy machine repeats nothing: how many blocks there are must not depend on it
        calm = {"repeats": 0, "wait_seconds": 0.0}
        return replace(Plan(TINY, name=self.name), block_seconds=0.01, blocks=12, **calm)


class RepeatableDevice(FakeDevice):
    """Noise is a function of the architecture and of how many blocks of it are committed.

    So the n-th block has the same readings whether the process was killed before it or not.
    """

    def __init__(self, database, job):
        super().__init__(noise=0.02, preemption=0.05)
        self.database = database
        self.job = job

    def launch(self, runtime, settings):
        return RepeatableLaunch(self, super().launch(runtime, settings))

    def committed(self, key):
        blocks, campaigns = schema.blocks, schema.campaigns
        query = (
            sa.select(sa.func.count())
            .join_from(blocks, campaigns, blocks.c.campaign_id == campaigns.c.id)
            .where(blocks.c.architecture == key, campaigns.c.name == self.job.name)
        )
        with self.database.engine.connect() as connection:
            return connection.execute(query).scalar()


class RepeatableLaunch:
    def __init__(self, device, launch):
        self.device, self.launch = device, launch

    def __enter__(self):
        self.launch.__enter__()
        return self

    def __exit__(self, *error):
        return self.launch.__exit__(*error)

    def load(self, key, artefact, **how):
        return self.launch.load(key, artefact, **how)

    def output(self, key):
        return self.launch.output(key)

    def run(self, key, *, iterations, warmup=0):
        time.sleep(self.device.job.pace_seconds)
        seed = [zlib.crc32(key.encode()), self.device.committed(key)]
        self.device.rng = np.random.default_rng(seed)
        return self.launch.run(key, iterations=iterations, warmup=warmup)


class TellingDatabase(ProfileDatabase):
    """Tells of each block when it is committed."""

    def __init__(self, location, teller):
        super().__init__(location, create=True)
        self.teller = teller

    def append_block(self, campaign, record):
        super().append_block(campaign, record)
        os.write(self.teller.fileno(), b".")


def measure(job, teller):
    """What a process does."""
    tempfile.tempdir = job.temporary
    with TellingDatabase(job.location, teller) as database:
        if job.device == "fake":
            device = RepeatableDevice(database, job)
            device.failures[str(job.plan().subjects[1])] = "crash"
        else:
            device = find_device("local")
        run_campaign(device, find_runtime(device), RunSettings(), job.plan(), database)


class Running:
    """A process that measures a job."""

    def __init__(self, job):
        self.job = job
        self.told, teller = processes.Pipe(duplex=False)
        self.process = processes.Process(target=measure, args=(job, teller), daemon=True)
        self.process.start()
        teller.close()
        self._told = 0

    def wait(self, seconds, blocks):
        """Wait until it ends, the time is over, or it has told of so many blocks."""
        last = time.monotonic() + seconds
        while self._told < blocks and (left := last - time.monotonic()) > 0:
            if self.told.poll(left) and not self._read():
                return  # it has ended

    def _read(self):
        more = len(os.read(self.told.fileno(), 1))
        self._told += more
        return more

    def end(self, *, kill=True):
        """Kill it, or wait for it.

        Returns:
            Exit code, and of how many blocks it told.
        """
        if kill:
            self.process.kill()
        self.process.join()
        os.set_blocking(self.told.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while self._read():
                pass
        self.told.close()
        return self.process.exitcode, self._told


def finish(job):
    """Measure a job to its end without a kill.

    Returns:
        Seconds that it took: kills are to fall everywhere in them.
    """
    running = Running(job)
    begun = time.monotonic()  # the server that forks may have had to start first
    code, _ = running.end(kill=False)
    assert code == 0, f"{job.name} ended with {code}"
    return time.monotonic() - begun


class Watch:
    """Looks at a job's blocks after every process and holds them against what was told.

    Args:
        job: What is measured.
        most_seconds: The latest moment of a kill; later where nothing was measured until then, so
            that a busy machine gets on as well.
        most_blocks: And after so many blocks at the latest, so that there are kills however fast
            the machine has become since somebody took its time.
    """

    def __init__(self, job, most_seconds, most_blocks):
        self.job = job
        self.most_blocks = most_blocks
        self.places = set()
        self.kills = 0
        self._most_seconds = self._now_seconds = most_seconds

    def moment(self, rng):
        """When to kill the next process, in seconds."""
        return rng.uniform(0, self._now_seconds)

    def check(self, code, told):
        """After a process has ended, with exit code and number of blocks it told of."""
        killed = code == -9
        assert killed or code == 0, f"{self.job.name} ended with {code}"
        _wait_for_sessions(self.job)
        rows = places(self.job)
        now = set(rows)
        assert len(rows) == len(now), "a block is there twice"
        assert self.places <= now, "a block is lost that was there"
        new = len(now) - len(self.places)
        assert told <= new <= told + killed, f"{told} blocks were told of, {new} are there"
        self.places = now
        self.kills += killed
        self._now_seconds = self._most_seconds if new else 1.5 * self._now_seconds


def _wait_for_sessions(job):
    """Until the server has noticed that the process is gone: its last block may be in flight."""
    if "://" not in job.location:
        return
    import psycopg

    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s "
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(job.location, autocommit=True) as connection:
        while connection.execute(query, [job.name]).fetchone()[0]:
            time.sleep(0.002)


def kill_until_done(job, rng, *, most_seconds, most_blocks=math.inf, most_kills=1000):
    """Start, kill at a random moment, check, and again, until it ends by itself.

    Args:
        job: What is measured.
        rng: Tells when.
        most_seconds: See `Watch`.
        most_blocks: Likewise.
        most_kills: After so many it runs to its end.

    Returns:
        How often it was killed.
    """
    watch = Watch(job, most_seconds, most_blocks)
    while True:
        running = Running(job)
        enough = watch.kills >= most_kills
        if not enough:
            running.wait(watch.moment(rng), watch.most_blocks)
        code, told = running.end(kill=not enough)
        watch.check(code, told)
        if code == 0:
            return watch.kills


def kill_several_until_done(jobs, rng, *, most_seconds, most_blocks=math.inf, most_kills=1000):
    """The same with several processes at a time that write into one database."""
    watches = [Watch(job, most_seconds, most_blocks) for job in jobs]
    left = {watch.job.name: watch for watch in watches}
    running = {name: Running(watch.job) for name, watch in left.items()}
    while left:
        name = str(rng.choice(sorted(left)))
        enough = sum(watch.kills for watch in watches) >= most_kills
        if not enough:
            running[name].wait(left[name].moment(rng), left[name].most_blocks)
        code, told = running[name].end(kill=not enough)
        left[name].check(code, told)
        if code == 0:
            del left[name]
        else:
            running[name] = Running(left[name].job)
    return sum(watch.kills for watch in watches)


def places(job):
    """Campaign, architecture, launch and block of all blocks of a job."""
    blocks, campaigns = schema.blocks, schema.campaigns
    query = (
        sa.select(campaigns.c.label, blocks.c.architecture, blocks.c.launch, blocks.c.block)
        .join_from(blocks, campaigns, blocks.c.campaign_id == campaigns.c.id)
        .where(campaigns.c.name == job.name)
    )
    try:
        with ProfileDatabase(job.location) as database, database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]
    except BadFile:
        return []  # killed before there were tables; whoever had seen a block misses it now


def summary(job):
    """The measurements and failures of a job, without the moments that no resumed one repeats."""
    with ProfileDatabase(job.location) as database:
        (campaign,) = [c for c in database.campaigns() if c.label == job.name]
        failed = [(str(f.subject), f.cause, f.detail) for f in database.failures(campaign=job.name)]
        measured = [_timeless(m.to_json()) for m in read_measurements(database, campaign=job.name)]
        blocks = [
            (str(r.subject), r.launch, r.block, *map(_readings, _around(r)), r.artefact_sha256)
            for r in database.blocks(campaign)
        ]
    return {"failures": failed, "measurements": measured, "blocks": blocks}


def _timeless(document):
    """Without how fast the machine was at these moments; a resumed campaign has others."""
    return {
        k: v
        for k, v in document.items()
        if k not in ("slowdown", "shifted_blocks", "cache_pressure")
    }


def _around(record):
    return record.readings, record.sentinel_before, record.sentinel_after


def _readings(block):
    return (
        block.wall_seconds,
        block.cpu_seconds,
        block.voluntary_switches,
        block.involuntary_switches,
        block.warmup_seconds,
    )
