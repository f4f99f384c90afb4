"""Sentences are packed into sequences: whole ones, in order, never across documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from atb.data.vocabulary import CLS_TOKEN, SEP_TOKEN
from atb.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["LONGEST_SEQUENCE", "check_sequence_length", "pack", "sentences"]

# Lengths are stored in 16 bits; far above the positions of any BERT.
LONGEST_SEQUENCE = 65_535
SHORTEST_SEQUENCE = 8
# Paragraphs tokenised in one call: enough to keep the tokenizer busy, little memory.
_PARAGRAPHS_AT_ONCE = 512
# A sentence ends at a full stop, question or exclamation mark, with closing quotes, before white
# space and something that can begin a sentence. An abbreviation cut in two does no harm here:
# its halves are packed side by side.
_SENTENCE_END = re.compile(r"(?<=[.!?])([\"'\u201d\u2019)\]]*)\s+(?=[\"'\u201c\u2018(\[]?[A-Z0-9])")


def sentences(paragraph: str) -> list[str]:
    """Cut a paragraph after its sentences; nothing but white space is lost."""
    cut = _SENTENCE_END.sub(lambda match: match[1] + "\n", paragraph)
    return [sentence for sentence in cut.split("\n") if sentence.strip()]


def check_sequence_length(sequence_length: int) -> None:
    """Refuse sequence lengths that cannot be packed or stored.

    Raises:
        InputError: It is out of range.
    """
    if not SHORTEST_SEQUENCE <= sequence_length <= LONGEST_SEQUENCE:
        raise InputError(
            f"The sequence length is {sequence_length}: give a number from {SHORTEST_SEQUENCE} "
            f"to {LONGEST_SEQUENCE}, such as 128."
        )


def pack(
    paragraphs: Iterable[str], tokenizer: Tokenizer, sequence_length: int
) -> Iterator[list[int]]:
    """Pack text greedily into sequences `[CLS] ... [SEP]`.

    Args:
        paragraphs: One at a time; an empty one ends a document.
        tokenizer: Cuts sentences into tokens.
        sequence_length: Most tokens of a sequence. A longer sentence is cut into pieces.

    Yields:
        Tokens, from 3 to `sequence_length` of them.
    """
    room = sequence_length - 2
    packed: list[int] = []
    for tokens in _tokenise(paragraphs, tokenizer):
        if packed and (tokens is None or len(packed) + len(tokens) > room):
            yield [CLS_TOKEN, *packed, SEP_TOKEN]
            packed = []
        if tokens is None:
            continue
        whole = len(tokens) - len(tokens) % room if len(tokens) > room else 0
        for start in range(0, whole, room):
            yield [CLS_TOKEN, *tokens[start : start + room], SEP_TOKEN]
        packed += tokens[whole:]
    if packed:
        yield [CLS_TOKEN, *packed, SEP_TOKEN]


def _tokenise(paragraphs: Iterable[str], tokenizer: Tokenizer) -> Iterator[list[int] | None]:
    """The tokens of each sentence, and None where a document ends."""
    # "[SEP]" in a text is five characters, not the end of a sequence
    tokenizer.encode_special_tokens = True
    waiting: list[str] = []  # sentences, and "" where a document ends
    for taken, paragraph in enumerate(paragraphs, start=1):
        waiting += sentences(paragraph) or [""]
        if taken % _PARAGRAPHS_AT_ONCE == 0:
            yield from _encode(waiting, tokenizer)
            waiting = []
    yield from _encode(waiting, tokenizer)


def _encode(waiting: list[str], tokenizer: Tokenizer) -> Iterator[list[int] | None]:
    encodings = tokenizer.encode_batch_fast(waiting, add_special_tokens=False)
    for sentence, encoding in zip(waiting, encodings, strict=True):
        if not sentence:
            yield None
        elif encoding.ids:
            yield encoding.ids
