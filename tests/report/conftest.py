"""A small but real run on the simulated device: campaigns, a predictor, a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.published import PUBLISHED
from atb.models.space import SPACES
from atb.predictor.latency_fit import fit
from atb.predictor.predictor import WorkPredictor
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import measure, run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.record import Conditions
from atb.search.constraints.candidates import on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.contract import MethodSettings
from atb.search.request import SearchRequest
from atb.search.result import SearchResult
from atb.search.run import search
from atb.search.scoring.proxy import ExactProxy
from atb.search.targets import Target
from atb.search.verifier import Verifier

SAMPLES = 16
HOSTILE = '<script>alert(1)</script> & "co"'


@dataclass(frozen=True)
class Run:
    """What a run leaves behind."""

    database: ProfileDatabase
    conditions: Conditions
    predictor: WorkPredictor
    result: SearchResult


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("run")
    space, settings = SPACES["mini"], RunSettings()
    plan = Plan.sample(space, SAMPLES, name="first", blocks=2)
    device = FakeDevice(
        name=HOSTILE,
        noise=0.01,
        launch_noise=0.002,
        failures={str(plan.subjects[3]): "crash"},
    )
    runtime = device.runtimes["fake"]
    with ProfileDatabase(folder / "profile.db", create=True) as database:
        run_campaign(device, runtime, settings, plan, database)
        known = [PUBLISHED["bert-base"], PUBLISHED["tinybert-4"]]
        measure(device, runtime, settings, known, database, name="known", blocks=2)
        # one launch says nothing about how launches differ, so this one is flagged
        measure(device, runtime, settings, [PUBLISHED["s4"]], database, name="hasty", launches=1)
        measured = read_measurements(database, campaign="first")
        predictor = fit(TrainingSet.from_measurements(measured), np.random.default_rng(0))
        request = SearchRequest(
            on_search_grid(space),
            LatencyLimit(6e-3),
            settings=MethodSettings(generation_size=6, generations=3),
            finalists=3,
        )
        verifier = Verifier(device, runtime, settings, database, within=0.02)
        result = search(request, [Target(predictor, verifier)], ExactProxy(), folder / "search")
        yield Run(database, predictor.conditions, predictor, result)
