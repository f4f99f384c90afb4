"""What a small BERT looks like: five numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from atb.errors import BadArchitecture

#: Of a text that is none, as messages quote it.
_MOST_CHARACTERS = 60


@dataclass(frozen=True, slots=True, order=True)
class Architecture:
    """A BERT encoder whose layers are all alike (AutoTinyBERT, section 3).

    Vocabulary size and number of positions are configuration beside it, not part of it.

    Attributes:
        layers: Number of Transformer layers, L.
        hidden: Hidden size, which is the embedding size too, H.
        heads: Number of attention heads of a layer, A.
        qkv: Total width of each of query, key and value, Q; a multiple of `heads`.
        feed_forward: Inner size of the feed-forward block, F.

    Raises:
        BadArchitecture: A number is not positive, or `heads` does not divide `qkv`.
    """

    layers: int
    hidden: int
    heads: int
    qkv: int
    feed_forward: int

    _TEXT: ClassVar[re.Pattern[str]] = re.compile(r"L(\d+)-H(\d+)-A(\d+)-Q(\d+)-F(\d+)")
    # No published BERT comes near; beyond it a typing error would ask for all the memory.
    LARGEST: ClassVar[int] = 65_536

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "qkv", "feed_forward"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise BadArchitecture(
                    f"{name} of an architecture is {value!r}: give a whole number."
                )
            if not 1 <= value <= self.LARGEST:
                raise BadArchitecture(
                    f"{name} of an architecture is {value}: give a number from 1 to {self.LARGEST}."
                )
        if self.qkv % self.heads:
            raise BadArchitecture(
                f"{self.heads} heads do not divide the query width {self.qkv}: "
                f"try Q{max(1, round(self.qkv / self.heads)) * self.heads}."
            )

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Read the text form, such as `L5-H564-A12-Q528-F1024`.

        Raises:
            BadArchitecture: The text has another form, or its numbers are impossible.
        """
        match = cls._TEXT.fullmatch(text.strip())
        if match is None:
            raise BadArchitecture(
                f"{text[:_MOST_CHARACTERS]!r} is not an architecture: write it like "
                "L4-H312-A12-Q312-F1200, or use a name from `atb space list`."
            )
        return cls(*(int(number) for number in match.groups()))

    def __str__(self) -> str:
        return f"L{self.layers}-H{self.hidden}-A{self.heads}-Q{self.qkv}-F{self.feed_forward}"

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.qkv // self.heads

    def fits(self, other: Architecture) -> bool:
        """Whether a super-model of shape `other` holds this architecture as a slice."""
        return (
            self.layers <= other.layers
            and self.hidden <= other.hidden
            and self.heads <= other.heads
            and self.head_size <= other.head_size
            and self.feed_forward <= other.feed_forward
        )

    def parameters(
        self, *, vocabulary_size: int = 30_522, positions: int = 512, token_types: int = 2
    ) -> int:
        """Number of parameters of embeddings, encoder and pooler, without task heads."""
        return int(
            parameter_count(
                self.layers,
                self.hidden,
                self.qkv,
                self.feed_forward,
                tables=vocabulary_size + positions + token_types,
            )
        )

    def multiply_adds(self, sequence_length: int = 128) -> int:
        """Multiply-add operations of the encoder for one sequence, softmax and norms left out."""
        h, q, f, s = self.hidden, self.qkv, self.feed_forward, sequence_length
        return self.layers * (s * (4 * h * q + 2 * h * f) + 2 * s * s * q)


def plain_bert_heads(architecture: Architecture) -> int | None:
    """How many heads a plain BERT needs to be equal: at least as many, at least as wide.

    Returns:
        The smallest number that divides the hidden size; None where there is none.
    """
    hidden = architecture.hidden
    for heads in range(architecture.heads, hidden // architecture.head_size + 1):
        if hidden % heads == 0:
            return heads
    return None


def parameter_count(layers: Any, hidden: Any, qkv: Any, feed_forward: Any, *, tables: int) -> Any:
    """Parameters of embeddings, encoder and pooler, of one shape or of arrays of them.

    Args:
        layers: Number of layers; like all sizes a number, or int64[n].
        hidden: Hidden size, H.
        qkv: Width of query, key and value.
        feed_forward: Inner width of the feed-forward block.
        tables: Rows of the tables of words, positions and segments together.
    """
    h, q, f = hidden, qkv, feed_forward
    layer = 4 * h * q + 3 * q + 2 * h * f + f + 2 * h + 4 * h
    return tables * h + 2 * h + layers * layer + h * h + h
