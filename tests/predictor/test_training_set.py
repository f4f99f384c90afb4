from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.predictor.fitting.features import architecture_at
from atb.predictor.training_set import LEAST_ROWS, TrainingSet
from atb.profiler.record import Conditions


@dataclass(frozen=True)
class Reading:
    """What a training set reads of a `Measurement`."""

    architecture: Architecture
    conditions: Conditions
    latency_seconds: float
    interval_seconds: tuple[float, float]
    usable: bool = True
    campaign: str = "first"
    memory_bytes: int | None = None
    artefact_bytes: int | None = 1000
    energy_joules: float | None = None


@pytest.fixture
def readings(world) -> list[Reading]:
    rows = world.rows(LEAST_ROWS + 2, 0)
    return [
        Reading(architecture_at(row), world.conditions, second, (0.9 * second, 1.1 * second))
        for row, second in zip(rows, world.plain_truth(rows).tolist(), strict=True)
    ]


def test_measurements_become_arrays(world, readings) -> None:
    found = TrainingSet.from_measurements(readings)
    assert len(found) == len(readings)
    assert found.seconds.tolist() == [reading.latency_seconds for reading in readings]
    assert found.half_widths == pytest.approx(0.1 * found.seconds)
    assert found.conditions == world.conditions
    assert found.campaigns == ("first",)
    assert found.further["artefact_bytes"].tolist() == [1000.0] * len(found)
    assert np.isnan(found.further["memory_bytes"]).all()


def test_unusable_measurements_are_left_out_and_counted(readings) -> None:
    readings[3] = replace(readings[3], usable=False, latency_seconds=99.0)
    found = TrainingSet.from_measurements(readings)
    assert len(found) == len(readings) - 1
    assert found.excluded == 1
    assert found.seconds.max() < 99


def test_mixed_conditions_are_refused_by_what_differs(world, readings) -> None:
    other = replace(world.conditions, settings=RunSettings(threads=2))
    readings[5] = replace(readings[5], conditions=other)
    with pytest.raises(InputError, match="threads: 1 and 2"):
        TrainingSet.from_measurements(readings)


def test_an_unusable_measurement_of_other_conditions_does_not_matter(world, readings) -> None:
    other = replace(world.conditions, settings=RunSettings(threads=2))
    readings[5] = replace(readings[5], conditions=other, usable=False)
    assert TrainingSet.from_measurements(readings).excluded == 1


def test_latencies_of_an_emulator_are_refused_unless_they_are_asked_for(world, readings) -> None:
    platform = (*world.conditions.platform, ("emulated", "qemu-aarch64"))
    emulated = replace(world.conditions, platform=platform)
    readings = [replace(reading, conditions=emulated) for reading in readings]
    with pytest.raises(InputError, match=r"the emulator qemu-aarch64.*--force"):
        TrainingSet.from_measurements(readings)
    found = TrainingSet.from_measurements(readings, emulated=True)
    assert found.conditions == emulated
    assert len(found) == len(readings)


def test_too_few_architectures_are_refused(readings) -> None:
    with pytest.raises(InputError, match=r"9 architectures.*10 are needed"):
        TrainingSet.from_measurements(readings[:9])
    with pytest.raises(InputError, match=r"1 architectures.*10 are needed"):
        TrainingSet.from_measurements([readings[0]] * 20)
    assert len(TrainingSet.from_measurements(readings[:2], least_rows=2)) == 2


def test_nothing_usable_is_refused(readings) -> None:
    with pytest.raises(InputError, match="no usable measurement"):
        TrainingSet.from_measurements([])
    with pytest.raises(InputError, match=r"no usable measurement \(1 preempted"):
        TrainingSet.from_measurements([replace(readings[0], usable=False)])


@pytest.mark.parametrize("latency", [0.0, -1e-3, float("nan"), float("inf")])
def test_impossible_latencies_are_refused(readings, latency: float) -> None:
    readings[4] = replace(readings[4], latency_seconds=latency)
    with pytest.raises(InputError, match=f"latency of {readings[4].architecture} is"):
        TrainingSet.from_measurements(readings)


@pytest.mark.parametrize("interval", [(2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_impossible_intervals_are_refused(readings, interval: tuple[float, float]) -> None:
    readings[4] = replace(readings[4], interval_seconds=interval)
    with pytest.raises(InputError, match="half width"):
        TrainingSet.from_measurements(readings)


def test_arrays_of_other_lengths_are_refused(world) -> None:
    with pytest.raises(InputError, match="3 architectures came with 2 latencies"):
        TrainingSet(world.rows(3, 0), np.ones(2), np.ones(3), world.conditions)


def test_folds_split_architectures_not_rows(world) -> None:
    rows = np.repeat(world.rows(12, 0), 3, axis=0)
    repeated = world.measure(rows, world.plain_truth(rows))
    folds = repeated.observations.folds(5, np.random.default_rng(0))
    assert sorted(np.concatenate(folds).tolist()) == list(range(36))
    kinds = [{tuple(row) for row in rows[fold].tolist()} for fold in folds]
    assert sum(len(kind) for kind in kinds) == 12
    assert len(set.union(*kinds)) == 12


def test_there_are_never_more_folds_than_architectures(world) -> None:
    rows = world.rows(3, 0)
    few = world.measure(rows, world.plain_truth(rows))
    assert [len(fold) for fold in few.observations.folds(10, np.random.default_rng(0))] == [1, 1, 1]
