"""The shipped held-out sample: text that no shipped weights were trained on, to score models by."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from atb.data.corpus.corpus import Corpus
from atb.data.corpus.packing import Packer, check_sequence_length
from atb.data.corpus.shards import TokenShards
from atb.data.tokenizer import Vocabulary, read_vocabulary

#: About 100,000 tokens from eight public-domain books, see samples/ORIGIN.md.
HELD_OUT_TEXT = Path(__file__).parents[1] / "samples" / "held_out_en.txt.xz"
#: The books of the corpus that it was taken from, counted from 0, and those left for training.
HELD_OUT_DOCUMENTS = range(108, 116)
TRAINING_DOCUMENTS = range(108)


@lru_cache(maxsize=4)
def held_out(
    sequence_length: int = 128,
    limit: int | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    single_sentences: bool = False,
) -> TokenShards:
    """The held-out sample, packed into sequences; takes part of a second.

    Args:
        sequence_length: Most tokens of a sequence.
        limit: Take only this many sequences, spread evenly over the books.
        vocabulary: Cuts the text into tokens; the shipped one by default.
        single_sentences: Whether each sentence is a sequence of its own.

    Raises:
        InputError: The sequence length is out of range.
    """
    check_sequence_length(sequence_length)
    vocabulary = vocabulary or read_vocabulary()
    packer = Packer(vocabulary, sequence_length, single_sentences)
    documents = packer.pack(Corpus(HELD_OUT_TEXT).paragraphs())
    sequences = [sequence for document in documents for sequence in document.sequences]
    if limit is not None and limit < len(sequences):
        places = np.linspace(0, len(sequences) - 1, limit).astype(int)
        sequences = [sequences[place] for place in places]
    return TokenShards.of_sequences(sequences, vocabulary, sequence_length)
