"""Whether intervals hold the truth as often as they say, on devices made to embarrass them."""

import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.space import find_space
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase

pytestmark = pytest.mark.slow


def covered(tmp_path, *, campaigns, **noise):
    """Share of intervals that hold the truth: whole, half as wide, and of no width.

    Of many campaigns, since the models of one share what its sentinel is off by. Against the mean
    over all, since low quantiles lie below the middle of a noise that goes both ways.
    """
    errors, half_widths = [], []
    for seed in range(campaigns):
        device = FakeDevice(seed=seed, **noise)
        settings = RunSettings(sequence_length=8)
        with ProfileDatabase(tmp_path / f"{seed}.db", create=True) as database:
            plan = Plan.sample(find_space("mini"), 5, seed=seed)
            result = run_campaign(device, device.runtimes["fake"], settings, plan, database)
        for m in result.measurements:
            errors.append(np.log(m.latency_seconds / device.latency(m.architecture, settings)))
            half_widths.append(np.log(m.interval_seconds[1] / m.interval_seconds[0]) / 2)
    away = np.abs(np.array(errors) - np.mean(errors))
    return [np.mean(away <= part * np.array(half_widths)) for part in (1.0, 0.5, 0.0)]


def partly_shared_drift(elapsed):
    return 1 + 0.02 * np.sin(elapsed / 7)


@pytest.mark.parametrize(
    "noise",
    [
        {"launch_noise": 0.01},
        {"launch_noise": 0.02, "noise": 0.01, "preemption": 0.1},
        {"launch_noise": 0.01, "slowdown": partly_shared_drift, "sharing_noise": 0.15},
    ],
    ids=["launches", "launches, iterations and preemption", "launches and drift"],
)
def test_its_interval_is_honest(tmp_path, noise):
    whole, half, none = covered(tmp_path, campaigns=30, **noise)
    assert whole >= 0.95
    # the same test would find intervals that are too narrow, or none at all
    assert half < 0.9
    assert none == 0


def test_what_no_launch_shows_is_in_no_interval(tmp_path):
    whole, _, _ = covered(tmp_path, campaigns=8, launch_noise=0.002, level_noise=0.02)
    assert whole < 0.5
