"""What a training step sees: sequences in an order that seed and step alone determine."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from atb.data.corpus import TokenShards, mask_tokens
from atb.errors import InputError
from atb.models.superplm import SuperPLM
from atb.training.teacher import Batch


class Source(Protocol):
    """Numbered sequences to learn from."""

    @property
    def sha256(self) -> str:
        """Hash of the content, which names it in results."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Every token lies below it."""
        ...

    @property
    def sequence_length(self) -> int:
        """Tokens in the longest sequence that may occur."""
        ...

    def __len__(self) -> int:
        """Number of sequences."""
        ...

    def order(self, epoch: int, seed: int) -> npt.NDArray[np.int64]:
        """All numbers of sequences, shuffled in a way that `epoch` and `seed` alone determine."""
        ...

    def lengths_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
        """Tokens of some sequences, [len(rows)]."""
        ...

    def batch_of(
        self, rows: npt.NDArray[np.int64], mask_probability: float, rng: np.random.Generator
    ) -> Batch:
        """Some sequences, with a share of their words hidden."""
        ...


def check_fits(source: Source | TokenShards, model: SuperPLM, name: str) -> None:
    """Refuse sequences that a model has no words or positions for.

    Args:
        source: The sequences.
        model: The model that is to read them.
        name: What the model is called in messages.

    Raises:
        InputError: A token or a sequence is beyond what the model reads.
    """
    words, positions = model.config.vocab_size, model.config.max_position_embeddings
    if source.vocabulary_size > words:
        raise InputError(
            f"The text has a vocabulary of {source.vocabulary_size} and the {name} of {words}: "
            f"prepare the text with the {name}'s vocabulary."
        )
    if source.sequence_length > positions:
        raise InputError(
            f"The text has sequences of {source.sequence_length} and the {name} {positions} "
            "positions: prepare shorter ones."
        )


class TextSource:
    """A text as something to learn from."""

    def __init__(self, shards: TokenShards) -> None:
        self._shards = shards
        self.sha256 = shards.sha256
        self.vocabulary_size = shards.vocabulary_size
        self.sequence_length = shards.sequence_length
        self.order = shards.order
        self.lengths_of = shards.lengths_of

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self._shards)

    def batch_of(
        self, rows: npt.NDArray[np.int64], mask_probability: float, rng: np.random.Generator
    ) -> Batch:
        """Some sequences, with a share of their words hidden."""
        ids, mask = self._shards.batch(rows)
        labels = None
        if mask_probability:
            ids, masked = mask_tokens(
                ids,
                mask,
                rng,
                probability=mask_probability,
                vocabulary_size=self._shards.vocabulary_size,
                special=self._shards.special,
            )
            labels = torch.from_numpy(masked)
        return Batch(torch.from_numpy(ids), torch.from_numpy(mask), labels, rows=rows)


class Batches:
    """Batches of an endless source, reshuffled every time it is gone through."""

    def __init__(
        self,
        source: Source,
        *,
        size: int,
        parts: int,
        mask_probability: float,
        seed: int,
        by_length: bool = False,
    ) -> None:
        """Keep the settings; nothing is read yet.

        Args:
            source: Where the sequences come from.
            size: Sequences in a batch.
            parts: Number of parts that a batch is cut into; divides `size`.
            mask_probability: Share of the words to hide, drawn anew every time; 0 hides none.
            seed: Determines order and masks.
            by_length: Whether parts hold sequences of like length.
        """
        self._source = source
        self._size = size
        self._parts = parts
        self._mask_probability = mask_probability
        self._seed = seed
        self._by_length = by_length
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._ahead: dict[int, list[Batch]] = {}

    def of_step(self, step: int) -> list[Batch]:
        """The parts of a step's batch."""
        return self._ahead.pop(step, None) or self._read(step)

    def read_ahead(self, step: int) -> None:
        """Have a step's batch ready before it is asked for."""
        self._ahead = {step: self._read(step)}

    def _read(self, step: int) -> list[Batch]:
        rows = np.array([self._row(step * self._size + place) for place in range(self._size)])
        if self._by_length:
            rows = rows[np.argsort(self._source.lengths_of(rows), kind="stable")]
        return [
            self._part(part, step, number)
            for number, part in enumerate(np.array_split(rows, self._parts))
        ]

    def _row(self, place: int) -> int:
        """The sequence at a place of the endless text."""
        epoch, position = divmod(place, len(self._source))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._source.order(epoch, self._seed)
        return int(self._order[position])

    def _part(self, rows: npt.NDArray[np.int64], step: int, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, step, number, 1])
        return self._source.batch_of(rows, self._mask_probability, rng)
