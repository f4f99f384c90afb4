"""A small sweep with poisoned artefacts on the real machine; the large one is a benchmark."""

import importlib
from pathlib import Path

import pytest

from atb.devices.settings import RunSettings
from atb.models.space import SPACES
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_poisoned_artefacts_fail_with_their_cause_and_every_healthy_one_is_measured(
    location, monkeypatch
):
    monkeypatch.syspath_prepend(str(ROOT))
    poisoned = importlib.import_module("benchmarks.measuring.poisoned")
    monkeypatch.setattr(poisoned, "TIMEOUT_SECONDS", 5.0)
    monkeypatch.setattr(poisoned, "MEMORY_SHARE", 0.05)
    plan = Plan.sample(SPACES["mini"], 8, launches=2, blocks=1, block_seconds=0.01)
    kinds = ("crash", "hang", "memory bomb", "not a number")
    poisons = dict(zip(map(str, plan.subjects[::2]), kinds, strict=True))
    with ProfileDatabase(location, create=True) as database:
        result = poisoned.sweep(plan, poisons, database, RunSettings(sequence_length=16))
    found = poisoned.judge(plan, poisons, result)
    assert found["share_of_healthy_measured"] == 1
    assert found["healthy_but_failed"] == []
    assert found["poisoned_but_measured"] == []
    assert {row["poison"]: row["causes"] for row in found["rows"]} == {
        kind: [poisoned.CAUSES[kind]] for kind in kinds
    }
    details = {row["poison"]: row["detail"] for row in found["rows"]}
    assert "SIG" in details["crash"]
    assert details["hang"].startswith("iteration")
