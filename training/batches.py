"""What a training step sees: text in an order that seed and step alone determine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from atb.data.masking import mask_tokens
from atb.data.shards import TokenShards
from atb.training.teacher import Batch

__all__ = ["Batches"]


class Batches:
    """Batches of an endless text, reshuffled every time it is gone through."""

    def __init__(
        self, shards: TokenShards, *, size: int, parts: int, mask_probability: float, seed: int
    ) -> None:
        """Read nothing yet.

        Args:
            shards: The text.
            size: Sequences in a batch.
            parts: What a batch is cut into; divides `size`.
            mask_probability: Share of the words to hide, drawn anew every time; 0 hides none.
            seed: Of order and masks.
        """
        self._shards = shards
        self._size = size
        self._parts = parts
        self._mask_probability = mask_probability
        self._seed = seed
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def of_step(self, step: int) -> list[Batch]:
        """The parts of a step's batch."""
        rows = np.array([self._row(step * self._size + place) for place in range(self._size)])
        return [
            self._part(part, step, number)
            for number, part in enumerate(np.array_split(rows, self._parts))
        ]

    def _row(self, place: int) -> int:
        """The sequence at a place of the endless text."""
        epoch, position = divmod(place, len(self._shards))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shards.order(epoch, self._seed)
        return int(self._order[position])

    def _part(self, rows: npt.NDArray[np.int64], step: int, number: int) -> Batch:
        ids, mask = self._shards.batch(rows)
        labels = None
        if self._mask_probability:
            ids, masked = mask_tokens(
                ids,
                mask,
                np.random.default_rng([self._seed, step, number, 1]),
                probability=self._mask_probability,
                vocabulary_size=self._shards.vocabulary_size,
                special=self._shards.special,
            )
            labels = torch.from_numpy(masked)
        return Batch(torch.from_numpy(ids), torch.from_numpy(mask), labels)
