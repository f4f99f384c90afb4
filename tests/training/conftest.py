from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from atb.data.corpus.shards import Shard, TokenShards
from atb.models.space import Dimension, SearchSpace
from atb.models.superplm.superplm import SuperPLM

torch.set_num_threads(1)

VOCABULARY = 1100  # above [MASK], which is number 103

SPACE = SearchSpace(
    "small",
    layers=Dimension(1, 2),
    hidden=Dimension(8, 24, 4),
    heads=Dimension(1, 3),
    feed_forward=Dimension(8, 40, 4),
    head_size=8,
)


@pytest.fixture
def space() -> SearchSpace:
    return SPACE


@pytest.fixture
def text() -> TokenShards:
    """Two shards of sequences [CLS] ... [SEP] of 4 to 16 tokens, some words far more common."""
    rng = np.random.default_rng(0)
    shards = []
    for count in (30, 13):
        lengths = rng.integers(4, 17, size=count).astype(np.uint16)
        rows = [
            [101, *np.minimum(1000 + rng.geometric(0.2, size=length - 2), 1099), 102]
            for length in lengths
        ]
        shards.append(Shard(np.concatenate(rows).astype(np.uint16), lengths))
    return TokenShards(tuple(shards), 16, VOCABULARY, "vocabulary", "text")


@pytest.fixture
def make_superplm() -> Callable[..., SuperPLM]:
    def make(*, mlm: bool = True, projection: int | None = 24) -> SuperPLM:
        torch.manual_seed(0)
        return SuperPLM.from_architecture(
            SPACE.largest,
            vocabulary_size=VOCABULARY,
            positions=16,
            with_mlm_head=mlm,
            projection_size=projection,
        ).eval()

    return make


@pytest.fixture
def superplm(make_superplm: Callable[..., SuperPLM]) -> SuperPLM:
    return make_superplm()
