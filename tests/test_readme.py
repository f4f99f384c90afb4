"""README and the pages of the documentation keep to the rules of prose."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages.documents import PAGES, ROOT, cells_of, page_name, paragraphs_of, sentences_of

MOST_LINES = 150
MOST_SENTENCES = 5
MOST_WORDS = 30


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_paragraph_has_at_most_five_sentences(page: Path) -> None:
    for paragraph in paragraphs_of(page):
        assert len(sentences_of(paragraph)) <= MOST_SENTENCES, paragraph


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_cell_of_a_table_has_at_most_thirty_words(page: Path) -> None:
    for cell in cells_of(page):
        assert len(cell.split()) <= MOST_WORDS, cell


def test_sentences_are_told_apart() -> None:
    assert len(sentences_of("One thing. Another, e.g. `a. B`! [A third](x.md#y)? 1.4 % more.")) == 4
