"""Random and fast search, and evolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atb.errors import InputError
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.models.space import SPACES, Dimension, SearchSpace, fast_rule
from atb.search.constraints.candidates import Candidates, feasible, on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.contract import MethodSettings
from atb.search.methods.evolution import Evolution, roulette
from atb.search.methods.methods import METHODS, FastSearch, RandomSearch, make_method
from atb.search.methods.mutation import Mutation
from atb.search.methods.pareto import Pareto
from atb.search.methods.surrogate_evolution import SurrogateEvolution
from atb.search.testing import SearchMethodSuite, run_to_the_end


class TestRandomSearch(SearchMethodSuite):
    factory = RandomSearch


class TestFastSearch(SearchMethodSuite):
    factory = FastSearch


class TestEvolution(SearchMethodSuite):
    factory = Evolution


class TestSurrogateEvolution(SearchMethodSuite):
    factory = SurrogateEvolution


class TestPareto(SearchMethodSuite):
    factory = Pareto


def test_each_built_in_method_has_its_suite() -> None:
    tested = {suite.factory for suite in SearchMethodSuite.__subclasses__()}
    assert set(METHODS.values()) == tested


def test_an_unknown_method_is_refused(candidates: Candidates) -> None:
    with pytest.raises(InputError, match="evolution"):
        make_method("annealing", candidates, np.random.default_rng(0))


@pytest.mark.parametrize(
    "settings", [{"generation_size": 0}, {"generations": -1}, {"exploration": 1.5}]
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        MethodSettings(**settings)


def test_the_roulette_never_returns_the_unique_worst_parent() -> None:
    rng = np.random.default_rng(0)
    scores = np.array([0.3, -2.0, 0.1, 4.0, -1.9999])
    drawn = [roulette(scores, rng) for _ in range(5000)]
    assert set(drawn) <= {0, 2, 3, 4}
    assert abs(drawn.count(3) / 5000 - 6 / (2.3 + 2.1 + 6 + 0.0001)) < 0.03


def test_the_roulette_returns_the_first_of_equal_parents() -> None:
    assert roulette(np.array([2.0, 2.0, 2.0]), np.random.default_rng(0)) == 0


def test_the_paper_settings_evaluate_a_hundred_candidates(world: Any) -> None:
    generations = run_to_the_end(
        Evolution(world.candidates(), np.random.default_rng(0), MethodSettings())
    )
    assert [len(generation) for generation in generations] == [25] * 4


def test_evolution_finds_better_ones_than_chance(world: Any) -> None:
    def best(factory: Any, settings: MethodSettings, seed: int) -> float:
        method = factory(world.candidates(), np.random.default_rng(seed), settings)
        generations = run_to_the_end(method)
        return max(float(a.parameters()) for generation in generations for a in generation)

    evolved = [best(Evolution, MethodSettings(25, 4), seed) for seed in range(5)]
    chance = [best(RandomSearch, MethodSettings(100), seed) for seed in range(5)]
    assert np.mean(evolved) > np.mean(chance)


def test_the_fast_method_draws_only_its_shapes(world: Any) -> None:
    (generation,) = run_to_the_end(
        FastSearch(world.candidates(), np.random.default_rng(0), MethodSettings())
    )
    rows = np.array([[a.layers, a.hidden, a.heads, a.qkv, a.feed_forward] for a in generation])
    assert len(generation) == 25
    assert fast_rule(rows).all()


def test_the_fast_method_says_when_no_candidate_has_its_shape(candidates: Candidates) -> None:
    without = candidates.where(~fast_rule(candidates.rows()))
    with pytest.raises(InputError, match="evolution"):
        FastSearch(without, np.random.default_rng(0), MethodSettings())


@pytest.mark.parametrize("name", ["mlm", "kd", "mini"])
def test_a_mutant_is_always_inside_the_window_and_unseen(world: Any, name: str) -> None:
    space = on_search_grid(SPACES[name])
    limit = LatencyLimit(0.03 if name != "mini" else 0.008)
    found = feasible(space, world.predictor(), limit)
    mutation = Mutation(found)
    rng = np.random.default_rng(1)
    seen = np.zeros(len(found), dtype=np.bool_)
    for _ in range(200):
        parent = found.architecture(int(rng.integers(len(found))))
        position = mutation.draw(parent, seen, rng)
        if position is None:
            continue
        assert not seen[position]
        seen[position] = True
        row = found.rows()[position : position + 1]
        assert limit.admits(world.latency(row)).all()
    assert seen.sum() > 150


@pytest.mark.parametrize("name", ["mlm", "kd"])
def test_genes_step_as_far_and_as_often_as_the_paper_says(world: Any, name: str) -> None:
    space = on_search_grid(SPACES[name])
    everything = feasible(space, world.constant_predictor(0.9), LatencyLimit(1.0))
    # in the middle, where no step leaves the range
    parent = (
        Architecture(4, 448, 6, 384, 1600) if name == "mlm" else Architecture(4, 448, 12, 480, 1600)
    )
    genomes = Mutation(everything).mutants(parent, np.random.default_rng(0), 40_000)
    steps = genomes - np.array(space.genome(parent))
    assert abs(steps).max(axis=0).tolist() == [1, 1, 2, 2]
    moved = (steps != 0).mean(axis=0)
    # probability of being touched, times that of a step that is not zero
    expected = [0.25 * 2 / 3, 0.5 * 2 / 3, 0.25 * 4 / 5, 0.5 * 4 / 5]
    assert np.allclose(moved, expected, atol=0.01)


def test_a_step_out_of_range_leaves_the_gene_unchanged(world: Any) -> None:
    space = on_search_grid(SPACES["mlm"])
    everything = feasible(space, world.constant_predictor(0.9), LatencyLimit(1.0))
    for corner, sign in ((space.smallest, 1), (space.largest, -1)):
        genomes = Mutation(everything).mutants(corner, np.random.default_rng(0), 5000)
        steps = sign * (genomes - np.array(space.genome(corner)))
        assert steps.min() == 0
        assert (steps[:, 0] > 0).mean() == pytest.approx(0.25 / 3, abs=0.02)


@pytest.mark.parametrize("name", ["s1", "kd-s1", "kd-s4", "bert-base", "s1-hand", "bert-tiny"])
@pytest.mark.parametrize("space_name", ["mlm", "kd"])
def test_a_parent_off_the_grid_never_raises(world: Any, name: str, space_name: str) -> None:
    space = on_search_grid(SPACES[space_name])
    everything = feasible(space, world.constant_predictor(0.9), LatencyLimit(1.0))
    seen = np.zeros(len(everything), dtype=np.bool_)
    position = Mutation(everything).draw(PUBLISHED[name], seen, np.random.default_rng(0))
    assert position is not None
    assert everything.architecture(position) in space


def test_heads_and_width_of_a_free_space_move_only_to_pairs_that_divide(world: Any) -> None:
    space = SearchSpace(
        "free",
        layers=Dimension(1, 2),
        hidden=Dimension(128, 256, 16),
        heads=Dimension(2, 6),
        feed_forward=Dimension(128, 256, 32),
        qkv=Dimension(60, 240, 20),
    )
    everything = feasible(space, world.constant_predictor(0.9), LatencyLimit(1.0))
    parent = Architecture(1, 192, 4, 120, 192)
    genomes = Mutation(everything).mutants(parent, np.random.default_rng(0), 5000)
    pairs = {space.attention[place] for place in genomes[:, 2]}
    assert all(width % heads == 0 for heads, width in pairs)
    assert len({heads for heads, _ in pairs}) > 2
    assert len({width for _, width in pairs}) > 3


def test_after_fruitless_mutations_the_search_explores(world: Any) -> None:
    found = world.candidates(LatencyLimit(0.0021))
    # two islands: parents come from the first, where everything was seen
    settings = MethodSettings(generation_size=10, generations=4, exploration=0.0)
    method = Evolution(found, np.random.default_rng(0), settings)
    method.tell([(a, 1.0) for a in method.ask()])
    for row, number in zip(found.rows().tolist(), range(len(found)), strict=True):
        near = any(
            abs(row[0] - a.layers) <= 1 and abs(row[1] - a.hidden) <= 16 for a in method.scores
        )
        method.seen[number] |= near
    left = int((~method.seen).sum())
    assert left > 10
    assert len(set(method.ask())) == 10
