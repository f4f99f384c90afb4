"""Damaged databases, exported rows and saved devices are read, or refused in a sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from mutation import Reader, check_reader

from atb.devices.contract import Block, Loaded
from atb.devices.fake.device import FakeDevice
from atb.devices.remote import saved_devices as device_file
from atb.devices.remote.saved_devices import read_devices
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.maintenance.export import raw_rows, read_raw, write_table
from atb.profiler.maintenance.merging import add_campaigns, merge, read_campaigns
from atb.profiler.maintenance.repairing import repair
from atb.profiler.measurements import read_measurements
from atb.profiler.record import BlockRecord, Conditions, Failure, LoadRecord

SMALL = Architecture(2, 128, 4, 128, 256)
DEVICES = {
    "kind": "devices",
    "format": 1,
    "devices": {
        "pi4": {
            "address": "ssh://me@board:2222",
            "python": "python3.11",
            "key": "/home/me/key",
            "known_hosts": None,
            "facts": {
                "platform": {"processor": "Cortex-A72", "memory": "4 GiB"},
                "clusters": [[2, 3], [0, 1]],
                "usable_cpus": [0, 1, 2, 3],
                "versions": {"numpy": "2.1.0"},
                "python": "3.11.7",
            },
        }
    },
}


def fill(path: Path) -> Path:
    """A database with one campaign of everything that there is."""
    device = FakeDevice()
    conditions = Conditions.of(device, device.runtimes["fake"], RunSettings())
    with ProfileDatabase(path, create=True) as database:
        campaign = database.open_campaign(
            name="night", space="", seed=1, conditions=conditions, launches=3, sentinel=SMALL
        )
        database.append_session(campaign, started_at=1.0, within=0.01)
        for launch in range(3):
            readings = Block(float(launch), (0.01,) * 4, (0.01,) * 4, (0,) * 4, (0,) * 4)
            record = BlockRecord(
                SMALL,
                launch,
                0,
                readings,
                readings,
                readings,
                "ab" * 32,
                {"load_average_1min": 1.0},
            )
            database.append_block(campaign, record)
        loaded = Loaded(0.1, 0.2, ("CPU",), 1.0, 100)
        database.append_load(campaign, LoadRecord(SMALL, 0, loaded, "ab" * 32, 9, 2.0))
        failure = Failure(SMALL, conditions, campaign.label, "crash", "signal SIGSEGV", 3.0)
        database.append_failure(campaign, failure)
    return path


@lru_cache
def database_bytes() -> bytes:
    with TemporaryDirectory() as folder:
        return fill(Path(folder) / "night.db").read_bytes()


@lru_cache
def exported(suffix: str) -> bytes:
    with TemporaryDirectory() as folder:
        out = Path(folder) / f"rows{suffix}"
        with ProfileDatabase(fill(Path(folder) / "night.db")) as database:
            write_table(out, raw_rows(read_campaigns(database)), raw=True)
        return out.read_bytes()


def read_all(path: Path) -> None:
    """Everything that commands read; what comes out is sound."""
    with ProfileDatabase(path) as database:
        campaigns = database.campaigns()
        for campaign in campaigns:
            assert len(campaign.uuid) == 32
            for record in database.blocks(campaign):
                assert min(record.readings.wall_seconds) >= 0
                assert len(record.readings.wall_seconds) == len(record.readings.cpu_seconds)
            for load in database.loads(campaign):
                assert math.isfinite(load.loaded.load_seconds)
        database.failures()
        for measured in read_measurements(database, models=True):
            json.dumps(measured.to_json(), allow_nan=False)


def read_database(path: Path) -> None:
    read_all(path)
    target = fill(path.with_name("target.db"))
    with ProfileDatabase(target, create=True) as database:
        merge([str(path)], database)
    read_all(target)


def repair_database(path: Path) -> None:
    """After a repair all is read, whatever the rows said before."""
    with ProfileDatabase(path, create=True) as database:
        repair(database, path.with_name("kept.json"))
    read_all(path)


def read_export(path: Path) -> None:
    campaigns = read_raw(path)
    target = path.with_name("target.db")
    with ProfileDatabase(target, create=True) as database:
        add_campaigns(database, campaigns)
    read_all(target)


@pytest.mark.slow
@pytest.mark.parametrize("read", [read_database, repair_database], ids=["read", "repaired"])
def test_a_damaged_database_is_read_or_refused(
    read: Callable[[Path], None], tmp_path: Path
) -> None:
    reader = Reader(read.__name__, {"night.db": database_bytes()}, read, mutations=250)
    check_reader(reader, tmp_path / "files")


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "mutations"), [(".csv", 150), (".parquet", 100)])
def test_damaged_rows_are_imported_or_refused(suffix: str, mutations: int, tmp_path: Path) -> None:
    reader = Reader("rows", {f"rows{suffix}": exported(suffix)}, read_export, mutations=mutations)
    check_reader(reader, tmp_path / "files")


def test_a_damaged_file_of_devices_is_read_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> None:
        monkeypatch.setattr(device_file, "devices_path", lambda: path)
        for name, saved in read_devices().items():
            assert name.isprintable()
            assert str(saved.address).startswith("ssh://")
            assert all(text.isprintable() for text in saved.facts.platform.values())

    samples = {"devices.json": json.dumps(DEVICES, indent=1).encode()}
    check_reader(Reader("devices", samples, read, mutations=300), tmp_path / "files")
