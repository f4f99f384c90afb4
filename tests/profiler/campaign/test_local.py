"""The real machine with onnxruntime; nothing here judges how long anything takes."""

import pytest

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_campaign_on_this_machine(location, precision):
    device = find_device("local")
    runtime = find_runtime(device, "onnxruntime")
    wanted = tuple(Architecture(layers, 128, 2, 64, 128) for layers in (1, 2))
    # a busy machine repeats nothing: how many blocks there are must not depend on it
    plan = Plan(wanted, block_seconds=0.01, blocks=2, repeats=0, wait_seconds=0.0)
    settings = RunSettings(precision=precision, sequence_length=16)
    with ProfileDatabase(location, create=True) as database:
        result = run_campaign(device, runtime, settings, plan, database)
    assert result.failures == ()
    assert [m.architecture for m in result.measurements] == list(wanted)
    for found in result.measurements:
        assert len(found.blocks) == 10
        assert found.interval_seconds[0] <= found.latency_seconds <= found.interval_seconds[1]
        assert 0 < found.latency_seconds < 10
        (hashes,) = {frozenset(r.artefact_sha256 for r in found.blocks)}
        assert len(hashes) == 1  # a rebuilt artefact would be the same file
        for record in found.blocks:
            assert min(record.readings.wall_seconds) > 0
            assert min(record.readings.cpu_seconds) > 0
            assert record.readings.started_at > 1.6e9
