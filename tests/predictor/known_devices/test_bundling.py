from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.space import SPACES
from atb.predictor.known_devices.bundling import bundle_device, collect_training_sets
from atb.predictor.latency_fit import fit
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.record import Conditions
from atb.profiler.statistics.measurement import Measurement

SPACE = SPACES["mini"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[Conditions, list[Measurement]]:
    """Fourteen architectures with one and with two threads, four in int8."""
    device = FakeDevice()
    runtime = device.runtimes["fake"]
    # small ones and short sequences, whose outputs are checked quickly
    sample = sorted(SPACE.sample(np.random.default_rng(0), 60), key=lambda a: a.parameters())
    architectures, short = tuple(sample[:14]), RunSettings(sequence_length=16)
    path = tmp_path_factory.mktemp("measured") / "profile.db"
    with ProfileDatabase(path, create=True) as database:
        for settings, count in (
            (replace(short, threads=2), 14),
            (short, 14),
            (replace(short, precision="int8"), 4),
        ):
            plan = Plan(architectures[:count], launches=3)
            run_campaign(device, runtime, settings, plan, database)
        return {c: read_measurements(database, conditions=c) for c in database.conditions()}


def renamed(measured: dict[Conditions, list[Measurement]], change: Callable[[Conditions], Any]):
    """The same measurements under other conditions."""
    return {
        change(c): [replace(m, conditions=change(c)) for m in every]
        for c, every in measured.items()
    }


def test_what_has_enough_rows_is_collected_and_the_rest_told(measured) -> None:
    found = collect_training_sets(measured)
    assert [len(rows) for rows, _ in found.sets] == [14, 14]
    assert {rows.conditions.settings.threads for rows, _ in found.sets} == {1, 2}
    assert all(day == date(2023, 11, 14) for _, day in found.sets)  # the simulated clock's
    (left_out,) = found.left_out
    assert left_out.conditions.settings.precision == "int8"
    assert "4 architectures have a usable measurement" in left_out.reason


def test_each_predictor_is_the_one_fitted_alone(measured) -> None:
    found = collect_training_sets(measured)
    told: list[tuple[int, int, str]] = []
    device = bundle_device("board", found.sets, seed=3, tell=lambda *words: told.append(words))
    assert [words[:2] for words in told] == [(0, 2), (1, 2), (2, 2)]
    rows = np.asarray(found.sets[0][0].rows)
    for one, (training_set, _) in zip(device.predictors, found.sets, strict=True):
        alone = fit(training_set, np.random.default_rng(3))
        assert one.predictor.predict(rows).latency_seconds.tolist() == (
            alone.predict(rows).latency_seconds.tolist()
        )
        assert one.predictor.summary == alone.summary
        assert one.conditions == replace(alone.conditions, device="board")


def test_of_two_versions_the_later_one_is_taken(measured) -> None:
    later = renamed(measured, lambda c: replace(c, runtime_version="0.9"))
    for every in later.values():
        for i, m in enumerate(every):
            blocks = tuple(
                replace(b, readings=replace(b.readings, started_at=b.readings.started_at + 1e6))
                for b in m.blocks
            )
            every[i] = replace(m, blocks=blocks)
    for both in ({**measured, **later}, {**later, **measured}):
        found = collect_training_sets(both)
        assert {rows.conditions.runtime_version for rows, _ in found.sets} == {"0.9"}
        old = [one for one in found.left_out if "0.9 was measured later" in one.reason]
        assert {one.conditions.runtime_version for one in old} == {"1"}
        assert len(old) == 2


def test_the_preferred_runtime_stands_first(measured) -> None:
    every = {}
    for name in ("foreign", "torch", "onnxruntime"):
        every |= renamed(measured, lambda c, name=name: replace(c, runtime=name))
    device = bundle_device("board", collect_training_sets(every).sets)
    assert device.runtimes == ("onnxruntime", "torch", "foreign")


def test_nothing_is_bundled_of_nothing_or_of_several(measured) -> None:
    few = {c: every for c, every in measured.items() if len(every) < 10}
    other = renamed(measured, lambda c: replace(c, device="other"))
    moved = renamed(measured, lambda c: replace(c, platform=(("processor", "faster"),)))
    for given, told in (
        ({}, "no measurements to bundle"),
        (few, r"nothing to bundle \(fake.*int8.*4 architectures"),
        ({**measured, **other}, r"several devices \(fake, other\): choose one with --device"),
        ({**measured, **moved}, "several machines .*processor: simulated and faster"),
    ):
        with pytest.raises(InputError, match=told):
            collect_training_sets(given)
    with pytest.raises(InputError, match="cannot be called"):
        bundle_device("../x", collect_training_sets(measured).sets)


def test_a_set_of_rows_is_not_changed(measured) -> None:
    found = collect_training_sets(measured)
    bundle_device("board", found.sets)
    assert {rows.conditions.device for rows, _ in found.sets} == {"fake"}
    assert all(isinstance(rows, TrainingSet) for rows, _ in found.sets)
