"""Masking for the masked-language-model objective."""

from __future__ import annotations

import numpy as np

from atb.data.corpus.masking import IGNORED, mask_tokens

VOCABULARY = 30_522


def batch(rows: int = 200, length: int = 100) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(1).integers(1000, VOCABULARY, (rows, length))
    ids[:, 0], ids[:, -11], ids[:, -10:] = 101, 102, 0
    mask = np.ones_like(ids)
    mask[:, -10:] = 0
    return ids, mask


def test_fifteen_percent_are_chosen_and_never_a_special_token() -> None:
    ids, mask = batch()
    masked, labels = mask_tokens(ids, mask, np.random.default_rng(0), vocabulary_size=VOCABULARY)
    chosen = labels != IGNORED
    assert (chosen.sum(axis=1) == round(0.15 * 88)).all()
    assert not chosen[:, 0].any()
    assert not chosen[:, -11:].any()
    assert (masked[~chosen] == ids[~chosen]).all()
    assert (labels[chosen] == ids[chosen]).all()


def test_eighty_percent_become_the_mask_and_ten_stay() -> None:
    ids, mask = batch(2000)
    masked, labels = mask_tokens(ids, mask, np.random.default_rng(0), vocabulary_size=VOCABULARY)
    chosen = labels != IGNORED
    assert abs((masked[chosen] == 103).mean() - 0.8) < 0.01
    assert abs((masked[chosen] == ids[chosen]).mean() - 0.1) < 0.01


def test_positions_are_chosen_uniformly() -> None:
    ids, mask = batch(4000)
    _, labels = mask_tokens(ids, mask, np.random.default_rng(0), vocabulary_size=VOCABULARY)
    shares = (labels != IGNORED).mean(axis=0)[1:-11]
    assert abs(shares - 13 / 88).max() < 0.03


def test_probability_zero_masks_nothing() -> None:
    ids, mask = batch()
    masked, labels = mask_tokens(
        ids, mask, np.random.default_rng(0), probability=0.0, vocabulary_size=VOCABULARY
    )
    assert (masked == ids).all()
    assert (labels == IGNORED).all()


def test_a_short_sequence_gets_one_mask_and_an_empty_one_none() -> None:
    ids = np.array([[101, 2000, 2001, 102], [101, 102, 0, 0]])
    mask = (ids != 0).astype(np.int64)
    _, labels = mask_tokens(ids, mask, np.random.default_rng(0), vocabulary_size=VOCABULARY)
    assert (labels != IGNORED).sum(axis=1).tolist() == [1, 0]


def test_at_most_77_are_chosen() -> None:
    ids, mask = batch(4, 900)
    _, labels = mask_tokens(ids, mask, np.random.default_rng(0), vocabulary_size=VOCABULARY)
    assert (labels != IGNORED).sum(axis=1).tolist() == [77] * 4


def test_the_input_is_not_changed_and_the_seed_decides() -> None:
    ids, mask = batch(8)
    before = ids.copy()
    one = mask_tokens(ids, mask, np.random.default_rng(3), vocabulary_size=VOCABULARY)
    two = mask_tokens(ids, mask, np.random.default_rng(3), vocabulary_size=VOCABULARY)
    assert (ids == before).all()
    assert (one[0] == two[0]).all()
