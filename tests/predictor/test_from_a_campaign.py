from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.space import SPACES
from atb.predictor.evaluation import evaluate
from atb.predictor.fitting.features import architecture_at, rows_of
from atb.predictor.latency_fit import fit
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements

SPACE = SPACES["mini"]


@pytest.mark.slow
def test_a_predictor_fitted_on_a_campaign_knows_the_device(tmp_path: Path) -> None:
    device = FakeDevice(noise=0.02, launch_noise=0.005)
    runtime, settings = device.runtimes["fake"], RunSettings()
    architectures = tuple(SPACE.sample(np.random.default_rng(0), 20))
    with ProfileDatabase(tmp_path / "profile.db", create=True) as database:
        run_campaign(device, runtime, settings, Plan(architectures, space=SPACE), database)
        run_campaign(device, runtime, RunSettings(threads=2), Plan(architectures[:2]), database)
        conditions = next(c for c in database.conditions() if c.settings == settings)
        training_set = TrainingSet.from_measurements(
            read_measurements(database, conditions=conditions)
        )
        with pytest.raises(InputError, match=r"threads: (1 and 2|2 and 1)"):
            TrainingSet.from_measurements(read_measurements(database))
    predictor = fit(training_set, np.random.default_rng(0))
    test = rows_of(SPACE.sample(np.random.default_rng(9), 300))
    truth = np.array([device.latency(architecture_at(row), settings) for row in test])
    assert (
        np.mean(np.abs(predictor.predict(test).latency_seconds / truth - 1)) < 0.03
    )  # low quantiles of a noise that goes both ways lie below its middle
    assert evaluate(predictor, training_set).within_5 > 0.95
