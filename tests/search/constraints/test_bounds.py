"""Limits beside the latency."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from atb.errors import InputError, RunError
from atb.models.architecture import Architecture
from atb.predictor.fitting.features import rows_of
from atb.search.constraints.bounds import Bound, BoundReach, Deployed, parse_bound
from atb.search.constraints.candidates import feasible

SHAPES = [Architecture(2, 128, 4, 128, 256), Architecture(6, 384, 12, 384, 1536)]


class Knowing:
    """A predictor that also tells memory and size: a hundred bytes for each unit of width."""

    further: Mapping[str, Any] = {"memory_bytes": None, "artefact_bytes": None}

    def __init__(self, predictor: Any) -> None:
        self.conditions = predictor.conditions
        self.predict = predictor.predict
        self.predict_architectures = predictor.predict_architectures

    def predict_further(self, rows: Any) -> Any:
        upper = 100.0 * rows[:, 1]
        return {name: SimpleNamespace(upper=upper) for name in self.further}


@pytest.fixture
def deployed(world: Any) -> Deployed:
    return Deployed(Knowing(world.predictor()), 30_522, 512)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("parameters=10M", Bound("parameters", 10e6)),
        ("size= 20 MB", Bound("size", 20e6)),
        ("memory=64MiB", Bound("memory", 2.0**26)),
        ("energy=30mJ", Bound("energy", 0.03)),
    ],
)
def test_limits_are_read(text: str, bound: Bound) -> None:
    read = parse_bound(text)
    assert (read.name, read.most) == (bound.name, pytest.approx(bound.most))


@pytest.mark.parametrize(
    "text",
    ["size", "speed=3", "size=20", "size=20J", "parameters=10MB", "energy=0J", "memory=-1MB"],
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"write|positive"):
        parse_bound(text)


def test_parameters_are_those_of_the_architecture(deployed: Deployed) -> None:
    upper = deployed.upper(Bound("parameters", 1), rows_of(SHAPES))
    assert upper.tolist() == [a.parameters() for a in SHAPES]


def test_full_tables_are_added_to_what_was_timed(deployed: Deployed) -> None:
    upper = deployed.upper(Bound("size", 1), rows_of(SHAPES))
    more_rows = 30_522 - 1024
    assert upper.tolist() == [a.hidden * (100 + 4 * more_rows) for a in SHAPES]
    # while a model is loaded there are both what is read and what is kept
    upper = deployed.upper(Bound("memory", 1), rows_of(SHAPES))
    assert upper.tolist() == [a.hidden * (100 + 2 * 4 * more_rows) for a in SHAPES]


def test_candidates_keep_within_all_bounds(world: Any, deployed: Deployed) -> None:
    bounds = (Bound("parameters", 7e6), Bound("memory", 45e6))
    every = feasible(world.space, deployed.predictor, world.limit)
    kept = feasible(
        world.space, deployed.predictor, world.limit, bounds=BoundReach(bounds, deployed)
    )
    rows = every.rows()
    wanted = np.all([deployed.upper(bound, rows) <= bound.most for bound in bounds], axis=0)
    assert 0 < wanted.sum() < len(every)
    assert (kept.numbers == every.numbers[wanted]).all()


def test_a_bound_below_reach_is_told_with_the_least(world: Any, deployed: Deployed) -> None:
    for bounds, words in (
        ((Bound("parameters", 1e6),), r"parameters=1\.00M is below reach .* the least is"),
        ((Bound("memory", 45e6), Bound("parameters", 4.6e6)), r"at once|below reach"),
    ):
        with pytest.raises(InputError, match=words):
            feasible(
                world.space, deployed.predictor, world.limit, bounds=BoundReach(bounds, deployed)
            )


def test_what_the_predictor_does_not_know_is_refused(world: Any) -> None:
    ignorant = Deployed(world.predictor(), 30_522, 512)
    BoundReach((Bound("parameters", 1e7),), ignorant)
    with pytest.raises(InputError, match="does not know energy"):
        BoundReach((Bound("energy", 1.0),), ignorant)


@pytest.mark.slow
def test_a_search_keeps_within_its_bounds(world: Any, tmp_path: Path) -> None:
    bound = Bound("parameters", 8e6)
    found = world.search(tmp_path, bounds=(bound,))
    free = world.search(tmp_path / "free")
    assert found.winner.architecture.parameters() <= 8e6 < free.winner.architecture.parameters()
    assert found.bounds == ("parameters=8.00M",)
    assert type(found).from_json(found.to_json()) == found
    assert found.request != free.request


@pytest.mark.slow
def test_finalists_that_break_a_bound_when_measured_do_not_win(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deployed, "measured", lambda self, bound, measurement: bound.most + 1)
    with pytest.raises(RunError, match=r"none that meets .* keeps parameters=8\.00M"):
        world.search(tmp_path, bounds=(Bound("parameters", 8e6),))
