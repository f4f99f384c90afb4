"""Campaigns on a device behind a real OpenSSH server that does not stay."""

import collections
import shlex
import sys
import threading
import time

import pytest
from proxy import dropping_proxy
from remote_devices import remote_device, save_device

from atb.devices.remote.device import SshDevice
from atb.devices.settings import RunSettings
from atb.errors import RunError
from atb.models.architecture import Architecture
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase

pytestmark = pytest.mark.slow

ARCHITECTURES = tuple(Architecture(1, hidden, 2, 12, 40) for hidden in (20, 28, 36))
# a busy machine adds blocks to a launch, and without this launches as well
PLAN = Plan(
    ARCHITECTURES, block_seconds=0.01, sentinel_block_seconds=0.01, repeats=0, wait_seconds=0
)
SETTINGS = RunSettings(sequence_length=8)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def database(location):
    with ProfileDatabase(location, create=True) as database:
        yield database


def run(device, database, plan=PLAN, progress=None):
    try:
        return run_campaign(
            device, device.runtimes["onnxruntime"], SETTINGS, plan, database, progress=progress
        )
    finally:
        device.close()


def check_complete(result):
    """All blocks of all launches, none of them twice, and only the device was to blame."""
    assert result.ended_by == "complete"
    assert {m.architecture for m in result.measurements} == set(ARCHITECTURES)
    for measurement in result.measurements:
        counted = collections.Counter((b.launch, b.block) for b in measurement.blocks)
        assert set(counted.values()) == {1}
        blocks = collections.Counter(launch for launch, _ in counted)
        assert len(blocks) == PLAN.launches
        assert min(blocks.values()) >= PLAN.blocks
    assert {f.cause for f in result.failures} <= {"device-gone"}
    assert {f.subject for f in result.failures} <= {None}


def at_blocks(numbers, do):
    """Progress that does something once when so many blocks are done."""
    left = sorted(numbers)

    def progress(done, wanted, what):
        if left and done >= left[0]:
            left.pop(0)
            do()

    return progress


def test_a_campaign_survives_cuts(openssh, database):
    result = run(remote_device(openssh), database, progress=at_blocks((4, 17), openssh.cut))
    check_complete(result)
    assert len(result.failures) == 2


def test_a_campaign_survives_a_server_that_starts_anew(openssh, database):
    def restart():
        openssh.kill()
        threading.Timer(2.0, openssh.start).start()

    result = run(remote_device(openssh), database, progress=at_blocks((6,), restart))
    check_complete(result)
    assert len(result.failures) == 1


def test_a_campaign_that_its_device_left_is_resumed(openssh, database):
    saved = save_device(openssh)
    device = SshDevice(saved, absence_seconds=0.5)
    with pytest.raises(RunError, match="failed 3 times"):
        run(device, database, progress=at_blocks((8,), openssh.kill))
    openssh.start()
    check_complete(run(SshDevice(saved), database))


def test_a_line_that_is_dropped_in_the_middle_is_a_cut(openssh, database):
    with dropping_proxy(openssh.port) as proxy:
        openssh.known_hosts.write_text(
            openssh.known_hosts.read_text().replace(f":{openssh.port}", f":{proxy.port}")
        )
        url = openssh.url.replace(f":{openssh.port}", f":{proxy.port}")
        device = remote_device(openssh, url=url)
        result = run(device, database, progress=at_blocks((5, 21), proxy.drop))
    check_complete(result)
    assert len(result.failures) == 2


def test_a_full_disk_ends_a_campaign_that_is_resumed_when_there_is_room(
    openssh, database, tmp_path
):
    limit = tmp_path / "limit"
    limit.write_text("128")
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/bash\nulimit -f $(cat {shlex.quote(str(limit))})\n"
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )
    python.chmod(0o755)
    saved = save_device(openssh, python=str(python))
    with pytest.raises(RunError, match="could not be stored"):
        run(SshDevice(saved), database)
    limit.write_text("unlimited")
    check_complete(run(SshDevice(saved), database))


def test_measurements_carry_the_clock_over_there(openssh, database, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import time\n_time = time.time\ntime.time = lambda: _time() + 3 * 3600\n"
    )
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(tmp_path))} "
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )
    python.chmod(0o755)
    began = time.time() + 3 * 3600
    result = run(remote_device(openssh, python=str(python)), database)
    check_complete(result)
    starts = [b.readings.started_at for m in result.measurements for b in m.blocks]
    assert began - 1 <= min(starts)
    assert max(starts) <= time.time() + 3 * 3600 + 1
