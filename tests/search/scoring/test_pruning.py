"""Scoring stops early for what cannot be a finalist: nothing is lost, much is spared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atb.models.architecture import Architecture
from atb.models.superplm.superplm import SuperPLM
from atb.search.contract import MethodSettings
from atb.search.result import read_result
from atb.search.scoring.proxy import DistillationProxy, ExactProxy, ExactRoughProxy, MlmProxy
from atb.search.scoring.pruning import Pruning

SHAPES = [Architecture(1, 48 + 12 * n, 1, 12, 48) for n in range(60)]


def learnt(noise: float, count: int = 40) -> Pruning:
    """Whole scores 0 to 39, which are twice the rough ones and a bit."""
    draws = np.random.default_rng(0).normal(0, noise, count)
    pruning = Pruning(finalists=3)
    whole = {shape: float(n) for n, shape in enumerate(SHAPES[:count])}
    rough = {a: (score + draw) / 2 for (a, score), draw in zip(whole.items(), draws, strict=True)}
    pruning.learn(rough, whole)
    return pruning


def test_what_is_certain_to_stay_behind_is_pruned_with_an_expected_score() -> None:
    rough: dict[Architecture, float | None] = dict(
        zip(SHAPES, (5.0, 18.0, 18.6, 30.0), strict=False)
    )
    pruned = learnt(noise=0.0).prune(rough)
    # the third best known is 37, and rough scores are half the whole ones
    assert pruned == {SHAPES[0]: pytest.approx(10.0), SHAPES[1]: pytest.approx(36.0)}


def test_what_is_less_certain_is_pruned_later() -> None:
    rough: dict[Architecture, float | None] = dict(zip(SHAPES, (5.0, 18.0), strict=False))
    assert list(learnt(noise=2.0).prune(rough)) == [SHAPES[0]]


def test_nothing_is_pruned_while_little_is_known() -> None:
    rough: dict[Architecture, float | None] = {SHAPES[0]: -100.0}
    assert Pruning(finalists=3).prune(rough) == {}
    assert learnt(noise=0.0, count=10).prune(rough) == {}
    assert learnt(noise=0.0).prune({}) == {}


def test_other_candidates_compete_anew() -> None:
    pruning = learnt(noise=0.0)
    rough: dict[Architecture, float | None] = {SHAPES[0]: 1.0}
    assert pruning.prune(rough)
    pruning.begin()
    assert not pruning.prune(rough)
    pruning.learn({}, {SHAPES[n]: 0.1 * n for n in range(3)})
    assert not pruning.prune(rough)


def test_failed_scores_are_no_reason_to_give_up() -> None:
    pruning = learnt(noise=0.0)
    pruning.learn({SHAPES[0]: None, SHAPES[1]: 3.0}, {SHAPES[0]: 1.0, SHAPES[1]: None})
    assert pruning.prune({SHAPES[50]: None}) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_winner_is_the_same_for_fewer_scores(world: Any, tmp_path: Path, seed: int) -> None:
    how: dict[str, Any] = {"seed": seed, "settings": MethodSettings(20, 4)}
    plain = world.search(tmp_path / "plain", proxy=ExactProxy(), **how)
    proxy = ExactRoughProxy()
    pruned = world.search(tmp_path / "pruned", proxy=proxy, **how)
    assert pruned.evaluations == plain.evaluations == proxy.rough_calls
    assert proxy.calls == pruned.evaluations - pruned.pruned
    assert pruned.pruned > 0
    assert pruned.winner.proxy >= plain.winner.proxy - 0.02
    assert not any(c.pruned for c in (*pruned.finalists, *pruned.front))
    assert read_result(tmp_path / "pruned" / "out" / "result.json") == pruned
    refused = ExactRoughProxy()
    world.search(tmp_path / "off", proxy=refused, prune=False, **how)
    assert (refused.rough_calls, refused.calls) == (0, plain.evaluations)


@pytest.mark.parametrize("method", ["random", "fast", "evolved", "pareto"])
@pytest.mark.slow
def test_methods_as_published_score_everything_whole(
    world: Any, tmp_path: Path, method: str
) -> None:
    proxy = ExactRoughProxy()
    world.search(tmp_path, proxy=proxy, method=method)
    assert proxy.rough_calls == 0


@pytest.mark.slow
def test_an_interrupted_search_goes_on_with_both_scores(world: Any, tmp_path: Path) -> None:
    settings = MethodSettings(20, 4)
    whole = world.search(tmp_path / "whole", proxy=ExactRoughProxy(), settings=settings)
    assert whole.pruned > 0
    lines = (tmp_path / "whole" / "out" / "scores.jsonl").read_text().splitlines(keepends=True)
    assert {json.loads(line)["proxy"] for line in lines} == {"exact", "exact-rough"}
    (tmp_path / "again" / "out").mkdir(parents=True)
    (tmp_path / "again" / "out" / "scores.jsonl").write_text("".join(lines[: len(lines) // 2]))
    proxy = ExactRoughProxy()
    again = world.search(tmp_path / "again", proxy=proxy, settings=settings)
    assert proxy.calls + proxy.rough_calls == len(lines) - len(lines) // 2
    assert [(c.architecture, c.proxy, c.pruned) for c in again.candidates] == [
        (c.architecture, c.proxy, c.pruned) for c in whole.candidates
    ]


@pytest.mark.parametrize("kind", [DistillationProxy, MlmProxy])
def test_held_out_text_scores_roughly_by_an_eighth_of_it(kind: Any) -> None:
    torch.manual_seed(0)
    shape = Architecture(2, 48, 4, 48, 96)
    superplm = SuperPLM.from_architecture(shape, projection_size=48, with_mlm_head=True)
    proxy = kind(superplm)
    asked = [Architecture(2, 24, 4, 48, 96), Architecture(1, 24, 2, 24, 48)]
    rough, whole = proxy.score_roughly(asked), proxy.score(asked)
    assert proxy.rough_key != proxy.key
    assert rough == proxy.score_roughly(asked) != whole
    assert rough == pytest.approx(whole, rel=0.2)
