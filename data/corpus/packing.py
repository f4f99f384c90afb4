"""Sentences are packed into sequences: whole ones, in order, never across documents."""

from __future__ import annotations

import bisect
import itertools
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from atb.data.tokenizer import Vocabulary
from atb.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Above this share of unknown words a vocabulary is of another language than the text.
MANY_UNKNOWN = 0.05

# Lengths are stored in 16 bits; far above the positions of any BERT.
LONGEST_SEQUENCE = 65_535
SHORTEST_SEQUENCE = 8
# Paragraphs tokenised in one call: enough to keep the tokenizer busy, little memory.
_PARAGRAPHS_AT_ONCE = 512
# Fewer tokens are a heading or the remains of an abbreviation, not a sentence.
_SHORTEST_SENTENCE = 5
# A sentence ends at a full stop, question or exclamation mark, with closing quotes, before white
# space and something that can begin a sentence; and after the full stops of Chinese and Japanese,
# which no space follows. An abbreviation cut in two does no harm here: its halves are packed side
# by side.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])([\"'\u201d\u2019)\]]*)\s+(?=[\"'\u201c\u2018(\[]?[^\W_a-z])"
    r"|(?<=[\u3002\uff01\uff1f])([\u201d\u2019\u300d\u300f\uff09]*)"
)


def sentences(paragraph: str) -> list[str]:
    """Cut a paragraph after its sentences; nothing but white space is lost."""
    cut = _SENTENCE_END.sub(lambda match: (match[1] or match[2] or "") + "\n", paragraph)
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


@dataclass
class PackedDocument:
    """A document as sequences `[CLS] ... [SEP]`.

    Attributes:
        tokens: Tokens of all sequences, one after another, uint32.
        lengths: Tokens of each sequence, from 3 on, uint16.
        sentences: Number of sentences.
        cut_sentences: How many sentences were longer than a sequence, and cut.
        unknown_tokens: Number of words that the vocabulary has no pieces for.
    """

    tokens: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("H"))
    sentences: int = 0
    cut_sentences: int = 0
    unknown_tokens: int = 0

    def first(self, tokens: int) -> PackedDocument:
        """Its first sequences, as many as reach a number of tokens."""
        kept = bisect.bisect_left(list(itertools.accumulate(self.lengths)), tokens) + 1
        lengths = self.lengths[:kept]
        return replace(self, tokens=self.tokens[: sum(lengths)], lengths=lengths)

    @property
    def sequences(self) -> Iterator[list[int]]:
        """Each by itself."""
        start = 0
        for length in self.lengths:
            yield list(self.tokens[start : start + length])
            start += length


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs text greedily: whole sentences, in order; or each sentence by itself.

    Attributes:
        vocabulary: Cuts sentences into tokens.
        sequence_length: Most tokens of a sequence. A longer sentence is cut into pieces.
        single_sentences: Whether each sentence is a sequence of its own; those of fewer than five
            tokens are left out.
    """

    vocabulary: Vocabulary
    sequence_length: int
    single_sentences: bool = False

    def pack(self, paragraphs: Iterable[str]) -> Iterator[PackedDocument]:
        """Pack a stream of text.

        Args:
            paragraphs: One at a time; an empty one ends a document.

        Yields:
            One for each document, in order.
        """
        document = PackedDocument()
        packed: list[int] = []
        for tokens in self._tokenise(paragraphs):
            if tokens is None:
                self._close(document, packed)
                yield document
                document, packed = PackedDocument(), []
            else:
                packed = self._add(document, packed, tokens)
        if packed or document.lengths:
            self._close(document, packed)
            yield document

    def _add(self, document: PackedDocument, packed: list[int], tokens: list[int]) -> list[int]:
        """Take up a sentence; returns what waits for more."""
        room = self.sequence_length - 2
        if self.single_sentences and len(tokens) < _SHORTEST_SENTENCE:
            return packed
        if (packed and self.single_sentences) or len(packed) + len(tokens) > room:
            self._close(document, packed)
            packed = []
        document.sentences += 1
        document.unknown_tokens += tokens.count(self.vocabulary.special.unknown)
        whole = len(tokens) - len(tokens) % room if len(tokens) > room else 0
        document.cut_sentences += whole > 0
        for start in range(0, whole, room):
            self._close(document, tokens[start : start + room])
        return packed + tokens[whole:]

    def _close(self, document: PackedDocument, tokens: list[int]) -> None:
        if tokens:
            special = self.vocabulary.special
            document.tokens.extend([special.cls, *tokens, special.sep])
            document.lengths.append(len(tokens) + 2)

    def _tokenise(self, paragraphs: Iterable[str]) -> Iterator[list[int] | None]:
        """The tokens of each sentence, and None where a document ends."""
        tokenizer = self.vocabulary.tokenizer()
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
