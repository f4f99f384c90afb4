"""Search spaces: golden sizes, sampling, enumeration, neighbours, a user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atb.errors import BadArchitecture, BadFile, InputError
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.models.space import SPACES, Dimension, SearchSpace, fast_rule, find_space

SEARCH_GRID = {"hidden": 16, "feed_forward": 32, "qkv": 12, "heads": 1}


@pytest.mark.parametrize(
    ("name", "fine", "coarse"), [("mlm", 11_391_072, 366_048), ("kd", 47_462_800, 1_525_200)]
)
def test_the_spaces_have_the_sizes_of_the_paper(name: str, fine: int, coarse: int) -> None:
    assert SPACES[name].size == fine
    assert SPACES[name].on_grid(**SEARCH_GRID).size == coarse


@pytest.mark.parametrize(("name", "count"), [("mlm", 3_672), ("kd", 18_552)])
def test_the_fast_rule_keeps_the_golden_count_on_the_search_grid(name: str, count: int) -> None:
    space = SPACES[name].on_grid(**SEARCH_GRID)
    assert sum(int(fast_rule(block).sum()) for block in space.blocks()) == count


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("mlm", 107_840), ("kd", 569_184)])
def test_the_fast_rule_keeps_the_golden_count_of_the_whole_space(name: str, count: int) -> None:
    assert sum(int(fast_rule(block).sum()) for block in SPACES[name].blocks()) == count


def test_the_fast_rule_knows_the_published_winners() -> None:
    def accepted(name: str) -> bool:
        a = PUBLISHED[name]
        row = np.array([[a.layers, a.hidden, a.heads, a.qkv, a.feed_forward]], dtype=np.int32)
        return bool(fast_rule(row)[0])

    for name in ("kd-s1", "kd-s2", "kd-s3", "kd-s4", "s1", "s4"):
        assert accepted(name), name
    for name in ("s2", "s3"):
        assert not accepted(name), name


@pytest.mark.parametrize("name", list(SPACES))
def test_samples_are_members_distinct_and_a_longer_draw_begins_with_the_shorter(name: str) -> None:
    space = SPACES[name]
    long = space.sample(np.random.default_rng(7), 60)
    assert long[:20] == space.sample(np.random.default_rng(7), 20)
    assert len(set(long)) == 60
    assert all(architecture in space for architecture in long)
    assert all(architecture.fits(space.largest) for architecture in long)


def small_space() -> SearchSpace:
    return SearchSpace(
        "small",
        layers=Dimension(1, 2),
        hidden=Dimension(8, 24, 8),
        heads=Dimension(2, 3),
        feed_forward=Dimension(16, 32, 16),
        qkv=Dimension(12, 20, 4),
    )


def test_enumeration_visits_every_architecture_once_whatever_the_block_size() -> None:
    space = small_space()
    # two heads divide 12, 16 and 20; three divide 12
    assert space.attention == ((2, 12), (2, 16), (2, 20), (3, 12))
    whole = np.concatenate(list(space.blocks()))
    pieces = np.concatenate(list(space.blocks(rows=10)))
    assert np.array_equal(whole, pieces)
    members = {Architecture(*(int(n) for n in row)) for row in whole}
    assert len(members) == len(whole) == space.size
    assert set(space.sample(np.random.default_rng(0), space.size)) == members


def test_more_samples_than_members_are_refused() -> None:
    with pytest.raises(InputError, match="has 48"):
        small_space().sample(np.random.default_rng(0), 49)


def test_the_genome_leads_back_and_a_stranger_has_none() -> None:
    space = SPACES["kd"]
    for architecture in space.sample(np.random.default_rng(1), 20):
        assert space.at(space.genome(architecture)) == architecture
    assert PUBLISHED["s1"] not in SPACES["mlm"]  # 1054 lies off the grid of fours
    with pytest.raises(BadArchitecture, match="not in the space mlm"):
        SPACES["mlm"].genome(PUBLISHED["s1"])


def test_a_space_is_cut_to_what_a_super_model_holds() -> None:
    limited = SPACES["kd"].limited_to(Architecture(4, 256, 12, 384, 1024))
    assert limited.largest == Architecture(4, 256, 12, 384, 1024)
    with pytest.raises(InputError, match="choose another space"):
        SPACES["mlm"].limited_to(PUBLISHED["minilm-6"])


def pairs_with_wide_heads(heads: Dimension, qkv: Dimension) -> SearchSpace:
    one = Dimension(1, 2)
    return SearchSpace("own", one, Dimension(16, 64, 16), heads, Dimension(32, 64, 32), qkv=qkv)


@pytest.mark.parametrize(
    ("heads", "qkv"),
    [
        (Dimension(2, 8, 2), Dimension(32, 96, 16)),  # few heads over a great width
        (Dimension(2, 3), Dimension(48, 64, 16)),  # three heads divide only the smaller width
        (Dimension(1, 4), Dimension(12, 48, 12)),
    ],
)
def test_only_slices_are_left_of_a_space_whose_heads_have_no_one_width(
    heads: Dimension, qkv: Dimension
) -> None:
    space = pairs_with_wide_heads(heads, qkv)
    whole = space.largest
    held = space.limited_to(whole)
    members = [Architecture(*row.tolist()) for block in held.blocks() for row in block]
    wanted = [Architecture(*row.tolist()) for block in space.blocks() for row in block]
    wanted = [architecture for architecture in wanted if architecture.fits(whole)]
    assert members == wanted
    assert 0 < held.size < space.size
    drawn = held.sample(np.random.default_rng(0), held.size)
    for architecture in (*drawn, held.largest, held.smallest):
        assert architecture.fits(whole)
    assert held.limited_to(whole) == held
    assert held.to_json() != space.to_json()


def test_a_space_of_which_nothing_is_held_is_refused_by_name() -> None:
    space = pairs_with_wide_heads(Dimension(2, 4), Dimension(32, 64, 16))
    for largest in (
        Architecture(2, 64, 8, 32, 64),  # heads too narrow for any pair
        Architecture(2, 64, 1, 64, 64),  # too few heads
        Architecture(2, 8, 4, 64, 64),
    ):
        with pytest.raises(InputError, match=r"space own begins at .* choose another"):
            space.limited_to(largest)


def test_a_coarser_grid_has_members_of_the_space_only() -> None:
    space = SearchSpace(
        "own", Dimension(1, 2), Dimension(64, 256, 24), Dimension(2, 8), Dimension(64, 256, 40),
        qkv=Dimension(64, 256, 8),
    )  # fmt: skip
    coarse = space.on_grid(**SEARCH_GRID)
    assert coarse.size < space.size
    assert all(
        architecture in space for architecture in coarse.sample(np.random.default_rng(0), 99)
    )


def test_the_size_of_a_huge_space_is_exact() -> None:
    wide = Dimension(1, 60_000)
    assert SearchSpace("own", wide, wide, wide, wide, head_size=1).size == 60_000**4


def test_a_users_own_space_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        "layers = [1, 4]\nhidden = [64, 128, 32]\nheads = [1, 2]\n"
        "feed_forward = [64, 256, 64]\nhead_size = 32\n"
    )
    space = find_space(str(path))
    assert space.name == "own"
    assert space.size == 4 * 3 * 2 * 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layers = [1, 4]", "'hidden' is missing"),
        ("layers = 3", "write layers"),
        ("layers = [true, 4, 1]", "write layers"),
        ("what = 1", "unknown entry"),
        ("layers = [", "not a readable search space file"),
    ],
)
def test_a_bad_space_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(BadFile, match=told):
        find_space(str(path))


def test_an_unknown_space_is_told_the_known_ones() -> None:
    with pytest.raises(InputError, match="mlm, kd, mini"):
        find_space("maxi")
