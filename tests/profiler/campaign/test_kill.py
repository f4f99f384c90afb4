"""SIGKILL at random moments: at most the block in flight is lost, and nothing is there twice."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from killing import Job, finish, kill_several_until_done, kill_until_done, places, summary


@pytest.fixture
def job(tmp_path):
    (tmp_path / "temporary").mkdir()
    return Job(str(tmp_path / "killed.db"), str(tmp_path / "temporary"))


def through(job):
    """The same job in a file of its own, which nobody kills, and the seconds that it took."""
    path = Path(job.temporary).with_name(f"through-{job.seed}.db")
    other = replace(job, location=str(path))
    return other, finish(other)


def artefacts_left(job):
    return list(Path(job.temporary).glob("atb-artefacts-*"))


def kill_campaigns(jobs, rng, *, least_kills):
    """Kill one campaign after the other until there were so many kills; each comes out whole."""
    kills = 0
    for job in jobs:
        other, seconds = through(job)
        kills += kill_until_done(job, rng, most_seconds=seconds / 2)
        assert summary(job) == summary(other)
        assert artefacts_left(job) == []
        if kills >= least_kills:
            return


@pytest.mark.slow
def test_a_killed_campaign_comes_out_like_one_that_ran_through(job):
    other, seconds = through(job)
    half = {"most_seconds": seconds / 2, "most_blocks": len(places(other)) / 2}
    assert kill_until_done(job, np.random.default_rng(0), **half) > 0
    found = summary(job)
    assert found == summary(other)
    # the one that fails was tried once beside others and twice alone, not more often
    assert sorted(subject == "None" for subject, *_ in found["failures"]) == [False, False, True]
    assert max(place[2] for place in places(job)) >= 3  # the stop rule asked for more launches


@pytest.mark.slow
def test_kills_of_campaigns_leave_what_a_campaign_that_ran_through_leaves(job, tmp_path):
    jobs = (
        replace(job, seed=seed, location=str(tmp_path / f"{seed}.db")) for seed in itertools.count()
    )
    kill_campaigns(jobs, np.random.default_rng(1), least_kills=15)


@pytest.mark.slow
def test_kills_of_campaigns_on_postgresql_leave_the_same(job, postgresql_server):
    jobs = (
        replace(
            job,
            seed=seed,
            location=f"{postgresql_server.make_database(f'kill{seed}')}&application_name={job.name}",
        )
        for seed in itertools.count()
    )
    kill_campaigns(jobs, np.random.default_rng(2), least_kills=6)


def kill_two_writers(first, location, *, tmp_path):
    """Two campaigns in one database, both killed and resumed while the other one writes."""
    jobs = [
        replace(first, name=name, seed=seed, location=location(name))
        for seed, name in enumerate(("one", "two"))
    ]
    # both in one, since they share the level of their sentinel
    others = [replace(job, location=str(tmp_path / "through.db")) for job in jobs]
    seconds = sum(finish(other) for other in others)
    most_blocks = min(len(places(other)) for other in others) / 4
    rng = np.random.default_rng(3)
    kills = kill_several_until_done(jobs, rng, most_seconds=seconds / 5, most_blocks=most_blocks)
    assert kills >= 3
    for job, other in zip(jobs, others, strict=True):
        assert summary(job) == summary(other)


@pytest.mark.slow
def test_two_writers_of_one_file_are_killed_and_lose_nothing(job, tmp_path):
    kill_two_writers(job, lambda name: job.location, tmp_path=tmp_path)


@pytest.mark.slow
def test_two_writers_of_one_server_are_killed_and_lose_nothing(job, postgresql, tmp_path):
    kill_two_writers(job, lambda name: f"{postgresql}&application_name={name}", tmp_path=tmp_path)


@pytest.mark.slow
def test_kills_on_the_real_device_lose_nothing_and_measure_nothing_twice(job):
    job = replace(job, device="local")
    other, seconds = through(job)
    most_blocks = len(places(other)) / 8
    rng = np.random.default_rng(4)
    kills = kill_until_done(
        job, rng, most_seconds=seconds / 4, most_blocks=most_blocks, most_kills=10
    )
    assert kills >= 5
    assert len(places(job)) == 3 * 5 * 12  # architectures, launches, blocks
    assert sorted(places(job)) == sorted(places(other))
    assert artefacts_left(job) == []
