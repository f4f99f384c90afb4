import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.models.space import find_space
from atb.predictor.latency_fit import fit
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.report.held_out import HELD_OUT, LATER, unseen

SETTINGS = RunSettings(sequence_length=8)


@pytest.mark.slow
def test_what_was_learnt_from_and_measured_again_is_held_out_and_only_the_rest_is_unseen(tmp_path):
    def run(subjects, name):
        device = FakeDevice(noise=0.002)
        plan = Plan(tuple(subjects), name=name)
        run_campaign(device, device.runtimes["fake"], SETTINGS, plan, database)

    drawn = find_space("mini").sample(np.random.default_rng(0), 20)
    with ProfileDatabase(tmp_path / "p.db", create=True) as database:
        run(drawn[:14], "first")
        learnt = TrainingSet.from_measurements(read_measurements(database))
        predictor = fit(learnt, np.random.default_rng(0))
        run(drawn, "again")
        held_out, later = unseen(predictor, read_measurements(database))
        assert unseen(predictor, read_measurements(database)[:5]) == ()
    assert (held_out.how, len(held_out)) == (HELD_OUT, 2 * 14)
    assert (later.how, set(later.architectures)) == (LATER, set(drawn[14:]))
