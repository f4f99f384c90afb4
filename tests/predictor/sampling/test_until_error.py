from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.space import SPACES
from atb.predictor.fitting.features import rows_of
from atb.predictor.sampling.until_error import measure_until
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements

SPACE = SPACES["mini"]


def run(path: Path, *, error: float, most: int = 60, stepped=None, **how):
    device = FakeDevice(noise=0.02, launch_noise=0.02)
    plan = Plan.sample(SPACE, 1, name="until", **how)
    with ProfileDatabase(str(path), create=True) as database:
        found = measure_until(
            device, device.runtimes["fake"], RunSettings(), plan, database,
            error=error, most=most, stepped=stepped,
        )  # fmt: skip
        measured = [
            m.architecture for m in read_measurements(database, campaign=found.result.campaign)
        ]
    return found, measured


@pytest.mark.slow
def test_it_stops_by_itself_and_was_right_to(tmp_path: Path) -> None:
    found, measured = run(tmp_path / "profile.db", error=0.03)
    assert found.reached
    assert 10 <= found.steps[-1].measured <= len(measured) < 60
    device, settings = FakeDevice(), RunSettings()
    test = SPACE.sample(np.random.default_rng(99), 300)
    truth = np.array([device.latency(a, settings) for a in test])
    predicted = found.predictor.predict(rows_of(test)).latency_seconds
    assert np.mean(np.abs(predicted / truth - 1)) < 0.03


def test_nothing_is_measured_for_a_predictor_of_an_emulated_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {**FakeDevice().platform, "emulated": "qemu-aarch64"}
    monkeypatch.setattr(FakeDevice, "platform", facts)
    with pytest.raises(InputError, match="the emulator qemu-aarch64"):
        run(tmp_path / "profile.db", error=0.03)
    with ProfileDatabase(str(tmp_path / "profile.db")) as database:
        assert not database.campaigns()


@pytest.mark.slow
def test_what_cannot_be_reached_ends_with_the_most(tmp_path: Path) -> None:
    seen = []
    found, measured = run(tmp_path / "profile.db", error=1e-9, most=18, stepped=seen.append)
    assert not found.reached
    assert len(measured) == 18
    assert tuple(seen) == found.steps
    assert [step.measured for step in seen] == sorted({step.measured for step in seen})


@pytest.mark.slow
def test_the_same_command_measures_nothing_twice(tmp_path: Path) -> None:
    begun, first = run(tmp_path / "profile.db", error=1e-9, most=18)
    found, second = run(tmp_path / "profile.db", error=1e-9, most=18)
    assert set(first) == set(second)
    further, third = run(tmp_path / "profile.db", error=1e-9, most=24)
    assert further.result.campaign == found.result.campaign
    assert len(third) == 24
    assert set(first) < set(third)
    # the curve is drawn from its beginning
    for again in (found, further):
        assert [step.measured for step in again.steps[: len(begun.steps)]] == [
            step.measured for step in begun.steps
        ]


def test_a_list_or_too_few_are_refused(tmp_path: Path) -> None:
    device = FakeDevice()
    listed = Plan(tuple(SPACE.sample(np.random.default_rng(0), 3)), name="until")
    sampled = Plan.sample(SPACE, 1, name="until")
    with ProfileDatabase(str(tmp_path / "profile.db"), create=True) as database:
        where = (device, device.runtimes["fake"], RunSettings())
        with pytest.raises(InputError, match="chosen from a space"):
            measure_until(*where, listed, database, error=0.02, most=50)
        with pytest.raises(InputError, match="5 architectures cannot carry"):
            measure_until(*where, sampled, database, error=0.02, most=5)
