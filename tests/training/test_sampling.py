from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atb.data.corpus.shards import TokenShards
from atb.errors import InputError
from atb.models.space import SPACES, Dimension, SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.one_shot.trainer import train_superplm
from atb.training.sampling import sampled_architectures
from atb.training.settings import TrainingSettings


def test_the_sandwich_holds_the_largest_and_the_smallest(space: SearchSpace) -> None:
    drawn = sampled_architectures(space, "sandwich", 2, seed=0, step=5, part=0)
    assert drawn[:2] == [space.largest, space.smallest]
    assert len(drawn) == 4
    assert all(architecture in space for architecture in drawn)


def test_an_anchored_draw_holds_the_largest_once_in_four_parts(space: SearchSpace) -> None:
    drawn = [
        sampled_architectures(space, "anchored", 2, seed=0, step=step, part=part)
        for step in range(2)
        for part in range(4)
    ]
    assert [len(architectures) for architectures in drawn] == [3, 2, 2, 2, 2, 2, 2, 3]
    assert drawn[0][0] == drawn[7][0] == space.largest


def test_uniform_draws_reach_all_of_the_space(space: SearchSpace) -> None:
    drawn = [
        architecture
        for step in range(300)
        for architecture in sampled_architectures(space, "uniform", 3, seed=0, step=step, part=0)
    ]
    for name in ("layers", "hidden", "heads", "feed_forward"):
        values = {getattr(architecture, name) for architecture in drawn}
        assert values == set(getattr(space, name).values)
    shallow = sum(architecture.layers == 1 for architecture in drawn) / len(drawn)
    assert 0.4 < shallow < 0.6


def test_draws_follow_from_seed_step_and_part_alone() -> None:
    def draw(seed: int, step: int, part: int) -> list[str]:
        drawn = sampled_architectures(SPACES["kd"], "uniform", 3, seed=seed, step=step, part=part)
        return [str(architecture) for architecture in drawn]

    assert draw(1, 2, 3) == draw(1, 2, 3)
    # the reference's processes all trained the same sub-model, and its steps shared seeds
    different = {tuple(draw(*numbers)) for numbers in ((1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3))}
    assert len(different) == 4


def test_of_a_list_all_are_drawn_and_no_others(space: SearchSpace) -> None:
    chosen = (space.smallest, space.largest)
    drawn = [
        sampled_architectures(chosen, "uniform", 1, seed=0, step=step, part=part)
        for step in range(20)
        for part in (0, 1)
    ]
    assert {architecture for (architecture,) in drawn} == set(chosen)
    both = sampled_architectures(chosen, "uniform", 3, seed=0, step=0, part=0)
    assert sorted(both) == sorted(chosen)
    with pytest.raises(InputError, match="uniform"):
        TrainingSettings(space, steps=1, chosen=chosen)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"batch_size": 6, "batch_parts": 4},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"sampling": "all"},
        {"random_samples": 0},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(space: SearchSpace, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TrainingSettings(space, **{"steps": 10, **wrong})  # type: ignore[arg-type]


def test_warm_up_is_at_most_a_tenth(space: SearchSpace) -> None:
    assert TrainingSettings(space, steps=500).warmup == 50
    assert TrainingSettings(space, steps=500, warmup_steps=20).warmup == 20


@pytest.mark.slow
def test_of_a_space_only_slices_are_trained(
    tmp_path: Path, text: TokenShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Dimension(1, 2)
    own = SearchSpace("own", one, Dimension(8, 16, 8), Dimension(2, 4, 2), Dimension(8, 16, 8),
                      qkv=Dimension(16, 32, 8))  # fmt: skip
    assert any(not a.fits(own.largest) for a in own.sample(np.random.default_rng(0), own.size))
    superplm = SuperPLM.from_architecture(
        own.largest, vocabulary_size=1100, positions=16, with_mlm_head=True
    )
    trained = set()
    hidden_states = SuperPLM.forward

    def watched(self: SuperPLM, architecture: Any, *inputs: Any, **named: Any) -> Any:
        trained.add(architecture)
        return hidden_states(self, architecture, *inputs, **named)

    monkeypatch.setattr(SuperPLM, "forward", watched)
    run = TrainingSettings(own, steps=20, batch_size=2, random_samples=3, sampling="uniform")
    train_superplm(superplm, text, run, tmp_path / "run")
    held = own.limited_to(own.largest)
    assert trained <= set(held.sample(np.random.default_rng(0), held.size))
    assert len(trained) > held.size / 2
