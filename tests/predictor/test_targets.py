from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atb.devices.settings import RunSettings
from atb.errors import BadFile
from atb.models.space import SPACES
from atb.models.weights import weights_shapes
from atb.predictor.checksum import checksum_of
from atb.predictor.file import load, save
from atb.predictor.fitting.features import architecture_at
from atb.predictor.latency_fit import fit
from atb.predictor.targets import storage_basis


def stored_bytes(rows) -> np.ndarray:
    """What the weights of a timing graph take, and the rest of its file."""
    return np.array(
        [
            2000.0
            + 150 * row[0]
            + 4 * sum(map(math.prod, weights_shapes(architecture_at(row)).values()))
            for row in rows
        ]
    )


@pytest.fixture
def training_set(world):
    rows = world.rows(60, 0, SPACES["mini"])
    measured = world.measure(rows, world.plain_truth(rows), noise=0.01)
    memory = np.where(np.arange(60) < 5, np.nan, 1.3 * stored_bytes(rows))
    return replace(
        measured,
        further={
            "artefact_bytes": stored_bytes(rows),
            "memory_bytes": memory,
            "energy_joules": np.full(60, np.nan),
        },
    )


def test_size_and_memory_come_from_the_same_fit(world, training_set) -> None:
    predictor = fit(training_set, np.random.default_rng(0))
    assert set(predictor.further) == {"artefact_bytes", "memory_bytes"}
    test = world.rows(200, 9, SPACES["mini"])
    found = predictor.predict_further(test)
    assert found["artefact_bytes"].values == pytest.approx(stored_bytes(test), rel=1e-5)
    assert found["memory_bytes"].values == pytest.approx(1.3 * stored_bytes(test), rel=1e-5)


def test_they_are_stored_and_checked(world, training_set, tmp_path: Path) -> None:
    predictor = fit(training_set, np.random.default_rng(0))
    path = tmp_path / "predictor.json"
    save(predictor, path)
    test = world.rows(50, 9, SPACES["mini"])
    again = load(path).predict_further(test)
    for name, found in predictor.predict_further(test).items():
        assert again[name].values.tolist() == found.values.tolist()
        assert again[name].upper.tolist() == found.upper.tolist()
    document = json.loads(path.read_text())
    document["further"]["warmth_kelvin"] = document["further"].pop("memory_bytes")
    outer = ("format", "kind", "sha256")
    document["sha256"] = checksum_of({k: v for k, v in document.items() if k not in outer})
    path.write_text(json.dumps(document))
    with pytest.raises(BadFile, match="does not hold a usable predictor"):
        load(path)


def test_a_file_without_further_targets_loads(world, tmp_path: Path) -> None:
    rows = world.rows(20, 0)
    plain = fit(world.measure(rows, world.plain_truth(rows)), np.random.default_rng(0))
    save(plain, tmp_path / "p.json")
    document = json.loads((tmp_path / "p.json").read_text())
    del document["further"]
    outer = ("format", "kind", "sha256")
    document["sha256"] = checksum_of({k: v for k, v in document.items() if k not in outer})
    (tmp_path / "p.json").write_text(json.dumps(document))
    assert load(tmp_path / "p.json").further == {}


def test_longer_sequences_hold_more_while_they_run() -> None:
    rows = np.array([[4, 312, 12, 312, 1200]], dtype=np.int32)
    short, long = (
        storage_basis(RunSettings(sequence_length=length)).amounts(rows)[0] for length in (32, 128)
    )
    changed = {
        term.name
        for term, a, b in zip(storage_basis(RunSettings()).terms, short, long, strict=True)
        if a != b
    }
    assert changed == {
        "hidden values",
        "attention values",
        "feed-forward values",
        "attention weights",
    }
