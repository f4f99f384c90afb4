"""Make the shipped held-out sample from the corpus of 116 books that ORIGIN.md describes.

Usage: python scripts/make_held_out.py gutenberg_en.txt.xz
"""

from __future__ import annotations

import lzma
import sys
from itertools import groupby
from pathlib import Path

from atb.data.corpus.corpus import Corpus
from atb.data.corpus.samples import HELD_OUT_DOCUMENTS, HELD_OUT_TEXT
from atb.data.tokenizer.tokenizer_files import read_vocabulary

TOKENS_PER_BOOK = 12_500


def excerpt(book: list[str]) -> list[str]:
    """Paragraphs from the middle of a book that hold `TOKENS_PER_BOOK` tokens."""
    tokenizer = read_vocabulary().tokenizer()
    taken: list[str] = []
    tokens = 0
    for paragraph in book[len(book) // 2 :]:
        taken.append(paragraph)
        tokens += len(tokenizer.encode(paragraph, add_special_tokens=False).ids)
        if tokens >= TOKENS_PER_BOOK:
            break
    return taken


def main(corpus: Path) -> None:
    """Write the sample, the same bytes every time."""
    paragraphs = Corpus(corpus).paragraphs(HELD_OUT_DOCUMENTS)
    books = [list(book) for inside, book in groupby(paragraphs, key=bool) if inside]
    assert len(books) == len(HELD_OUT_DOCUMENTS), len(books)
    text = "\n\n".join("\n".join(excerpt(book)) for book in books) + "\n"
    HELD_OUT_TEXT.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{HELD_OUT_TEXT}: {HELD_OUT_TEXT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
