"""SIGKILL at random moments: at most the block in flight is lost, and nothing is there twice."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from atb.profiler.database import ProfileDatabase

SCRIPT = Path(__file__).with_name("killable.py")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "temporary"


def start(kind, location, pace):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), kind, str(location), str(pace)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def run_to_the_end(kind, location, pace=0.0):
    process = start(kind, location, pace)
    assert process.wait(timeout=300) == 0


def blocks(location):
    with ProfileDatabase(location) as database:
        return [
            (m.campaign, m.conditions.key, str(m.architecture), r)
            for m in database.measurements()
            for r in m.blocks
        ]


def places(location):
    return [
        (campaign, conditions, architecture, record.launch, record.block)
        for campaign, conditions, architecture, record in blocks(location)
    ]


def rows(location):
    """Everything but the moments, which no resumed campaign can repeat."""

    def readings(block):
        return (
            block.wall_seconds,
            block.cpu_seconds,
            block.voluntary_switches,
            block.involuntary_switches,
            block.warmup_seconds,
        )

    with ProfileDatabase(location) as database:
        failed = [(str(f.subject), f.cause, f.detail) for f in database.failures()]
        measured = [(m.to_json(), m.sequential) for m in database.measurements()]
    return (
        failed,
        measured,
        [
            (
                *key,
                r.launch,
                r.block,
                readings(r.readings),
                readings(r.sentinel_before),
                readings(r.sentinel_after),
                r.artefact_sha256,
                dict(r.state),
            )
            for *key, r in blocks(location)
        ],
    )


def kill_at_random(kind, location, *, kills, most_seconds, pace, rng):
    """Start and kill; after each kill everything that was committed before it is still there."""
    before = set()
    for kill in range(kills):
        process = start(kind, location, pace)
        time.sleep(rng.uniform(0, most_seconds))
        if process.poll() is not None:  # a quick machine: it had ended before this kill
            process.stdout.close()
            assert kill > kills // 2, f"it had ended before kill {kill}: little was tested"
            break
        process.kill()
        process.wait()
        process.stdout.close()
        now = places(location)
        assert len(now) == len(set(now))
        assert before <= set(now)
        before = set(now)
    return before


@pytest.mark.slow
def test_ten_kills_on_the_fake_device_leave_the_rows_of_a_campaign_that_ran_through(
    tmp_path, temporary
):
    run_to_the_end("fake", tmp_path / "through.db")
    expected = rows(tmp_path / "through.db")
    location = tmp_path / "killed.db"
    rng = np.random.default_rng(0)
    measured = kill_at_random("fake", location, kills=10, most_seconds=0.4, pace=0.02, rng=rng)
    assert measured  # some kills came after a block
    run_to_the_end("fake", location)
    assert rows(location) == expected
    assert max(place[3] for place in places(location)) > 4  # the stop rule asked for more
    assert list(temporary.glob("atb-artefacts-*")) == []


def test_a_kill_on_the_fake_device_loses_no_row(tmp_path):
    run_to_the_end("fake", tmp_path / "through.db")
    location = tmp_path / "killed.db"
    rng = np.random.default_rng(1)
    kill_at_random("fake", location, kills=1, most_seconds=0.5, pace=0.02, rng=rng)
    run_to_the_end("fake", location)
    assert rows(location) == rows(tmp_path / "through.db")


@pytest.mark.slow
def test_kills_on_the_real_device_lose_nothing_and_measure_nothing_twice(tmp_path, temporary):
    location = tmp_path / "killed.db"
    rng = np.random.default_rng(2)
    kill_at_random("local", location, kills=10, most_seconds=1.0, pace=0.0, rng=rng)
    run_to_the_end("local", location)
    run_to_the_end("local", tmp_path / "through.db")
    found = places(location)
    assert found == places(tmp_path / "through.db")
    assert len(found) == len(set(found)) == 3 * 5 * 12  # architectures, launches, blocks
    assert list(temporary.glob("atb-artefacts-*")) == []
