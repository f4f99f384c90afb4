"""What quickstart decides once and keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atb.commands import quickstart
from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import BadFile
from atb.models.space import SPACES
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.record import Conditions


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(quickstart, "FOLDER", tmp_path)
    monkeypatch.setattr(quickstart, "PREDICTOR", tmp_path / "predictor.json")
    return tmp_path


def test_the_predictor_stays_when_the_machine_is_seen_faster_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same command would search again, and end with another winner."""
    for name in ("LEVEL_BLOCKS", "_FEWEST_LEVEL_BLOCKS"):
        monkeypatch.setattr(f"atb.profiler.statistics.sentinel.{name}", 20)
    factors = [1.1]
    device = FakeDevice(slowdown=lambda _: factors[-1])
    runtime, settings = device.runtimes["fake"], RunSettings()
    target: Any = SimpleNamespace(conditions=Conditions.of(device, runtime, settings))
    with ProfileDatabase(folder / "profile.db", create=True) as database:

        def run(samples: int, name: str) -> None:
            plan = Plan.sample(SPACES["mini"], samples, seed=0, name=name)
            run_campaign(device, runtime, settings, plan, database)

        run(25, quickstart.CAMPAIGN)
        before = read_measurements(database)
        quickstart._fit(database, target, 0)
        first = (folder / "predictor.json").read_bytes()
        factors.append(1.0)
        run(12, "search-1")
        after = read_measurements(database, campaign=quickstart.CAMPAIGN)
        assert before[0].latency_seconds != after[0].latency_seconds
        quickstart._fit(database, target, 0)
    assert (folder / "predictor.json").read_bytes() == first


@pytest.mark.parametrize(
    ("spent_seconds", "wanted"), [(0.0, "180s"), (150.0, "130s"), (1000.0, "30s")]
)
def test_the_winner_learns_on_for_what_is_left_and_as_long_the_next_time(
    folder: Path, spent_seconds: float, wanted: str
) -> None:
    assert quickstart._improvement(None, spent_seconds).improve == wanted
    assert quickstart._improvement(None, 20.0).improve == wanted
    assert quickstart._improvement("5min", 0.0).improve == "5min"
    assert quickstart._improvement("none", 0.0).improve is None


def test_a_damaged_note_of_that_time_is_refused(folder: Path) -> None:
    (folder / "improvement.json").write_text('{"format": 1', "utf-8")
    with pytest.raises(BadFile, match=r"improvement\.json"):
        quickstart._improvement(None, 0.0)
    note = '{"format": 1, "kind": "quickstart-improvement"}'
    (folder / "improvement.json").write_text(note, "utf-8")
    with pytest.raises(BadFile, match="damaged"):
        quickstart._improvement(None, 0.0)
