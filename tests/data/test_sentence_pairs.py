"""The shipped sentence pairs are well formed: `data/samples/ORIGIN.md` says what they are."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

PAIRS = Path(__file__).parents[2] / "data" / "samples" / "sentence_pairs_en.tsv"


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    header, *lines = PAIRS.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    assert header == "score\tfirst\tsecond"
    return [line.split("\t") for line in lines]


@pytest.fixture(scope="module")
def words(rows: list[list[str]]) -> list[list[str]]:
    """The words of both sentences of each pair, in the order of the file."""
    sentences = (sentence for row in rows for sentence in row[1:])
    return [re.findall(r"[a-z0-9]+", sentence.lower()) for sentence in sentences]


def test_there_are_600_rows_of_a_score_and_two_clean_sentences(rows: list[list[str]]) -> None:
    assert len(rows) == 600
    for row in rows:
        assert len(row) == 3
        for sentence in row[1:]:
            assert sentence.isascii()
            assert sentence.isprintable()
            assert sentence == " ".join(sentence.split())
            assert not sentence.startswith('"')
            assert 5 <= len(sentence.split()) <= 35


def test_scores_are_halves_from_0_to_5_with_as_many_pairs_of_each_whole_part(
    rows: list[list[str]],
) -> None:
    assert {score for score, *_ in rows} == {f"{half / 2:.1f}" for half in range(11)}
    assert Counter(score[0] for score, *_ in rows) == dict.fromkeys("012345", 100)


def test_scores_are_in_no_order_so_that_a_part_stands_for_the_whole(rows: list[list[str]]) -> None:
    for start in range(0, 600, 200):
        counts = Counter(score[0] for score, *_ in rows[start : start + 200])
        assert min(counts[part] for part in "012345") >= 20


def test_no_sentence_occurs_twice(words: list[list[str]]) -> None:
    counts = Counter(map(tuple, words))
    assert [sentence for sentence, count in counts.items() if count > 1] == []


def test_sentences_of_different_pairs_share_less_than_half_of_their_words(
    words: list[list[str]],
) -> None:
    places = {word: place for place, word in enumerate({w for some in words for w in some})}
    occurs = np.zeros((len(words), len(places)), np.float32)
    for row, some in enumerate(words):
        occurs[row, [places[word] for word in some]] = 1
    shared = occurs @ occurs.T
    sizes = occurs.sum(1)
    overlap = shared / (sizes[:, None] + sizes[None] - shared)
    pair = np.arange(len(words)) // 2
    overlap[pair[:, None] == pair[None]] = 0
    assert overlap.max() < 0.5
