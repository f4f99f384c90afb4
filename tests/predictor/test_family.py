from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.predictor.family import fit_family, settings_basis
from atb.predictor.file import load, load_family, save
from atb.predictor.fitting.features import architecture_basis

SETTINGS = [
    RunSettings(sequence_length=length, batch=batch) for length in (32, 64, 128) for batch in (1, 4)
]


def measured(world, settings: RunSettings, count: int, seed: int, slower: float = 1.0):
    """Measurements of a device whose coefficients are the world's, times a factor."""
    rows = world.rows(count, seed)
    truth = slower * (architecture_basis(settings).amounts(rows) @ world.coefficients)
    found = world.measure(rows, truth, noise=0.005, seed=seed)
    return replace(found, conditions=replace(world.conditions, settings=settings))


def error(predictor, world, settings: RunSettings, slower: float = 1.0) -> float:
    test = world.rows(200, 99)
    truth = slower * (architecture_basis(settings).amounts(test) @ world.coefficients)
    return float(np.mean(np.abs(predictor.predict(test).latency_seconds / truth - 1)))


@pytest.fixture(scope="module")
def family(world):
    sets = [measured(world, settings, 12, seed) for seed, settings in enumerate(SETTINGS)]
    two = RunSettings(threads=2)
    sets.append(measured(world, two, 6, 50, slower=0.6))
    return fit_family(sets, np.random.default_rng(0))


def test_amounts_are_those_of_the_settings(world) -> None:
    rows = world.rows(5, 0)
    settings = RunSettings(batch=3, sequence_length=40)
    extended = np.column_stack([rows, np.full(5, 3), np.full(5, 40)])
    assert np.array_equal(
        settings_basis().amounts(extended), architecture_basis(settings).amounts(rows)
    )


def test_lengths_and_batches_between_the_measured_are_predicted(world, family) -> None:
    for settings in (SETTINGS[0], RunSettings(sequence_length=96, batch=2)):
        predictor = family.at(settings)
        assert predictor.conditions.settings == settings
        assert error(predictor, world, settings) < 0.01


def test_a_mode_of_which_little_was_measured_begins_from_the_others(world, family) -> None:
    two = RunSettings(threads=2)
    assert error(family.at(two), world, two, slower=0.6) < 0.02
    longer = RunSettings(threads=2, sequence_length=64)
    assert error(family.at(longer), world, longer, slower=0.6) < 0.03


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (RunSettings(precision="int8"), "nothing of int8 on 1 thread"),
        (RunSettings(sequence_length=512), "sequence length of .* not 512"),
        (RunSettings(batch=64), "batch of .* not 64"),
    ],
)
def test_what_was_not_measured_is_refused(family, settings: RunSettings, words: str) -> None:
    with pytest.raises(InputError, match=words):
        family.at(settings)


def test_a_stored_family_says_the_same_bits(world, family, tmp_path: Path) -> None:
    path = tmp_path / "family.json"
    save(family, path)
    again = load_family(path)
    assert again.summary == family.summary
    rows = world.rows(100, 7)
    for settings in (SETTINGS[3], RunSettings(threads=2)):
        before, after = family.at(settings).predict(rows), load(path, settings).predict(rows)
        assert before.latency_seconds.tolist() == after.latency_seconds.tolist()
        assert before.upper_seconds.tolist() == after.upper_seconds.tolist()
        assert before.supported.tolist() == after.supported.tolist()
    assert load(path).conditions.settings == RunSettings()


def test_other_devices_and_too_few_rows_are_refused(world) -> None:
    one = measured(world, SETTINGS[0], 12, 0)
    elsewhere = replace(one, conditions=replace(one.conditions, device="another"))
    with pytest.raises(InputError, match="device: fake and another"):
        fit_family([one, elsewhere], np.random.default_rng(0))
    with pytest.raises(InputError, match="5 usable measurements of fp32"):
        fit_family([measured(world, SETTINGS[0], 5, 0)], np.random.default_rng(0))
    scarce = measured(world, RunSettings(threads=2), 2, 1)
    with pytest.raises(InputError, match="2 measurements of fp32 on 2 threads"):
        fit_family([one, scarce], np.random.default_rng(0))
