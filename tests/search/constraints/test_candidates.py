"""Limits, windows and the feasible set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from atb.errors import InputError
from atb.models.architecture import Architecture, plain_bert_heads
from atb.models.published import PUBLISHED
from atb.models.space import FEATURES, SPACES, Dimension, SearchSpace, fast_rule
from atb.search.constraints.candidates import GRIDS, feasible, on_search_grid
from atb.search.constraints.latency import LatencyLimit, SpeedUp


@pytest.mark.parametrize(
    ("factor", "reference_ms", "low_ms", "high_ms"),
    [(7, 886, 107.6, 139.2), (9, 1063, 100.4, 129.9)],
)
def test_the_reference_window_gives_the_published_bounds(
    factor: float, reference_ms: float, low_ms: float, high_ms: float
) -> None:
    speedup = SpeedUp(factor, PUBLISHED["bert-base"], "bert-base", (0.85, 1.10))
    low, high = speedup.resolve(reference_ms / 1e3).bounds_seconds
    assert round(1e3 * low, 1) == low_ms
    assert round(1e3 * high, 1) == high_ms


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_limit_is_refused(seconds: float) -> None:
    with pytest.raises(InputError):
        LatencyLimit(seconds)
    with pytest.raises(InputError):
        SpeedUp(seconds, PUBLISHED["bert-base"])


@pytest.mark.parametrize("window", [(0.9, 0.8), (0.0, 1.0), (1.0, 1.1), (0.5, float("inf"))])
def test_an_impossible_window_is_refused(window: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="window"):
        LatencyLimit(1.0, window)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fine", "coarse"), [("mlm", 107_840, 3_672), ("kd", 569_184, 18_552)]
)
def test_the_fast_rule_keeps_the_published_numbers(
    world: Any, name: str, fine: int, coarse: int
) -> None:
    assert sum(int(fast_rule(block).sum()) for block in SPACES[name].blocks()) == fine
    searched = on_search_grid(SPACES[name])
    everything = feasible(searched, world.constant_predictor(0.9), LatencyLimit(1.0))
    assert len(everything) == searched.size
    assert len(everything.obeying_fast_rule()) == coarse


def test_the_fast_rule_accepts_the_published_winners_but_s2_and_s3() -> None:
    names = ["kd-s1", "kd-s2", "kd-s3", "kd-s4", "s1", "s4", "s2", "s3"]
    rows = np.array([[getattr(PUBLISHED[name], f) for f in FEATURES] for name in names], np.int32)
    assert fast_rule(rows).tolist() == [True] * 6 + [False] * 2


def test_the_feasible_set_is_exactly_what_lies_in_the_window(world: Any) -> None:
    found = world.candidates()
    wanted = [
        tuple(row)
        for block in world.space.blocks()
        for row, seconds in zip(block.tolist(), world.latency(block), strict=True)
        if 0.85 * 0.008 <= seconds <= 0.008
    ]
    assert [tuple(row) for row in found.rows().tolist()] == wanted
    assert np.allclose(found.predicted_seconds, world.latency(found.rows()))


def test_a_candidate_is_found_by_its_position_and_the_reverse(world: Any) -> None:
    found = world.candidates()
    for position in (0, 7, len(found) - 1):
        assert found.position(found.architecture(position)) == position
        row = found.rows()[position]
        assert found.architecture(position) == Architecture(*row.tolist())
    assert found.position(world.space.largest) is None
    assert found.position(PUBLISHED["s1"]) is None


def test_only_what_the_superplm_holds_is_feasible(world: Any) -> None:
    space = SearchSpace(
        "wide",
        layers=Dimension(1, 2),
        hidden=Dimension(128, 256, 16),
        heads=Dimension(2, 4, 2),
        feed_forward=Dimension(128, 256, 32),
        qkv=Dimension(64, 256, 32),
    )
    largest = Architecture(2, 192, 4, 128, 256)
    searched = on_search_grid(space, largest=largest)
    found = feasible(searched, world.constant_predictor(0.9), LatencyLimit(1.0), largest=largest)
    architectures = [found.architecture(position) for position in range(len(found))]
    assert all(a.fits(largest) for a in architectures)
    held = sum(Architecture(*row.tolist()).fits(largest) for b in space.blocks() for row in b)
    assert len(architectures) == held


def test_a_superplm_that_holds_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="does not hold it"):
        on_search_grid(SPACES["mlm"], largest=Architecture(2, 64, 2, 64, 64))


def test_grids_have_the_published_sizes() -> None:
    assert [on_search_grid(SPACES[n]).size for n in ("mlm", "kd")] == [366_048, 1_525_200]
    assert on_search_grid(SPACES["kd"], "paper").size == SPACES["kd"].size
    assert set(GRIDS) == {"search", "paper"}
    with pytest.raises(InputError, match="grid"):
        on_search_grid(SPACES["kd"], "fine")


def test_a_space_of_ones_own_is_searched_as_it_is_written() -> None:
    own = SearchSpace(
        "own", Dimension(1, 2), Dimension(64, 128, 4), Dimension(4, 4), Dimension(64, 128, 4),
        qkv=Dimension(64, 128, 4),
    )  # fmt: skip
    assert on_search_grid(own) == own
    coarse = on_search_grid(own, "search")
    assert coarse.size < on_search_grid(own, "paper").size < own.size
    named_like_a_built_in_one = replace(own, name="mlm")
    assert on_search_grid(named_like_a_built_in_one) == named_like_a_built_in_one
    whole = Architecture(2, 128, 4, 96, 128)
    assert on_search_grid(own, largest=whole) == own.limited_to(whole)


def test_as_bert_only_shapes_that_a_plain_bert_equals_are_candidates(world: Any) -> None:
    every = LatencyLimit(1.0, (1e-9, 1.0))
    some = world.candidates(every)
    kept = feasible(world.space, world.predictor(), every, layout="bert")
    expressible = [plain_bert_heads(Architecture(*row.tolist())) is not None for row in some.rows()]
    assert 0 < len(kept) < len(some)
    assert np.array_equal(kept.rows(), some.rows()[expressible])
    narrow = replace(world.space, hidden=Dimension(144, 144), heads=Dimension(5, 5))
    with pytest.raises(InputError, match="plain BERT"):
        feasible(narrow, world.predictor(), every, layout="bert")


def test_a_space_too_large_to_be_listed_is_refused(world: Any) -> None:
    wide = Dimension(1, 2000)
    own = SearchSpace("own", Dimension(1, 2), wide, Dimension(1, 8), wide, head_size=32)
    with pytest.raises(InputError, match="has 640,000,000 arch") as refused:
        feasible(replace(own, layers=Dimension(1, 20)), world.predictor(), LatencyLimit(0.01))
    assert "--grid" in str(refused.value)


def test_a_limit_below_reach_names_the_smallest_reachable_latency(world: Any) -> None:
    smallest = world.space.smallest
    seconds = float(world.predictor().predict_architectures([smallest]).latency_seconds[0])
    with pytest.raises(InputError, match=f"{1e3 * seconds:.3f} ms .{smallest}"):
        feasible(world.space, world.predictor(), LatencyLimit(1e-5))


def test_a_limit_above_everything_names_the_slowest(world: Any) -> None:
    with pytest.raises(InputError, match=f"{world.space.largest}.*lower the limit"):
        feasible(world.space, world.predictor(), LatencyLimit(5.0))


def test_a_window_between_two_architectures_says_to_widen_it(world: Any) -> None:
    latencies = np.concatenate([world.latency(block) for block in world.space.blocks()])
    latencies.sort()
    gap = int(np.argmax(np.diff(latencies)))
    limit = float(latencies[gap : gap + 2].mean())
    with pytest.raises(InputError, match="widen the window"):
        feasible(world.space, world.predictor(), LatencyLimit(limit, (0.999999, 1.000001)))
