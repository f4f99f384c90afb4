"""Steps from one architecture to another on the grid, as in AutoTinyBERT's reference."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from atb.models import Architecture
from atb.search.constraints import Candidates

#: Mutations of one parent that may be fruitless before the search explores instead.
ATTEMPTS = 1000

# probability of a gene being touched, and its largest step in grid positions
_LAYERS = (0.25, 1)
_HIDDEN = (0.50, 1)
_FEED_FORWARD = (0.50, 2)
_ATTENTION = (0.25, 2)


class Mutation:
    """Draws mutants of a parent and keeps those that are candidates."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._space = candidates.space

    def draw(
        self,
        parent: Architecture,
        seen: npt.NDArray[np.bool_],
        rng: np.random.Generator,
        attempts: int = ATTEMPTS,
    ) -> int | None:
        """Redraw from the same parent until a mutant is a candidate that was not seen.

        Args:
            parent: Need not lie on the grid; the nearest member stands in for it.
            seen: Which candidates are not wanted again [n].
            rng: Source of the draws.
            attempts: How often to try.

        Returns:
            Position among the candidates, or None when all attempts were fruitless.
        """
        positions = self._candidates.positions(self.mutants(parent, rng, attempts))
        # position -1 of `seen` is a candidate's own, so both conditions count
        fruitful = np.flatnonzero((positions >= 0) & ~seen[positions])
        return int(positions[fruitful[0]]) if len(fruitful) else None

    def mutants(
        self, parent: Architecture, rng: np.random.Generator, count: int
    ) -> npt.NDArray[np.int64]:
        """Independent mutants of a parent, as genomes [count, 4]."""
        layers, hidden, heads, width, feed_forward = self._nearest(parent)
        space = self._space
        moved_heads = _steps(heads, self._pairs.shape[0], _ATTENTION, rng, count)
        moved_width = _steps(width, self._pairs.shape[1], _ATTENTION, rng, count)
        pair = self._pairs[moved_heads, moved_width]
        return np.stack(
            [
                _steps(layers, len(space.layers.values), _LAYERS, rng, count),
                _steps(hidden, len(space.hidden.values), _HIDDEN, rng, count),
                np.where(pair < 0, self._pairs[heads, width], pair),
                _steps(feed_forward, len(space.feed_forward.values), _FEED_FORWARD, rng, count),
            ],
            axis=1,
        )

    @cached_property
    def _pairs(self) -> npt.NDArray[np.int64]:
        """Place in `space.attention` by heads and width, -1 where the heads do not divide it.

        Where the head size ties the width to the heads there is one column, so that the step is
        one of heads; where there is one number of heads, the step is one of the width.
        """
        space = self._space
        if space.qkv is None:
            return np.arange(len(space.attention))[:, None]
        heads, widths = space.heads.values, space.qkv.values
        table = np.full((len(heads), len(widths)), -1)
        for place, (a, q) in enumerate(space.attention):
            table[heads.index(a), widths.index(q)] = place
        return table

    def _nearest(self, parent: Architecture) -> tuple[int, int, int, int, int]:
        """Grid positions of the member next to a parent: layers, hidden, heads, width, F."""
        space = self._space
        pair = min(
            range(len(space.attention)),
            key=lambda place: (
                abs(space.attention[place][1] - parent.qkv),
                abs(space.attention[place][0] - parent.heads),
            ),
        )
        heads, width = np.argwhere(self._pairs == pair)[0]
        return (
            _closest(space.layers.values, parent.layers),
            _closest(space.hidden.values, parent.hidden),
            int(heads),
            int(width),
            _closest(space.feed_forward.values, parent.feed_forward),
        )


def _closest(values: tuple[int, ...], wanted: int) -> int:
    return min(range(len(values)), key=lambda place: abs(values[place] - wanted))


def _steps(
    position: int,
    size: int,
    gene: tuple[float, int],
    rng: np.random.Generator,
    count: int,
) -> npt.NDArray[np.int64]:
    """Positions after a step each; one that leaves the range leaves the gene unchanged."""
    probability, largest = gene
    touched = rng.random(count) < probability
    moved = position + rng.integers(-largest, largest + 1, count)
    allowed = touched & (moved >= 0) & (moved < size)
    return np.where(allowed, moved, position)
