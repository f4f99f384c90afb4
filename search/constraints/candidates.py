"""The feasible set: every architecture of a space whose predicted latency lies in the window.

The space is enumerated exactly, so an impossible limit is known at once, and membership of an
architecture is a lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atb.errors import InputError
from atb.models import SPACES, Architecture, SearchSpace, fast_rule, plain_bert_heads
from atb.predictor import LatencyPredictor
from atb.search.constraints.bounds import BoundReach
from atb.search.constraints.latency import LatencyLimit, Percentile
from atb.units import format_duration

#: How a model is exported for transformers: with its own modelling file, or as a plain BERT.
Layout = Literal["tinybert", "bert"]

#: Steps of hidden, feed-forward, query width and heads on which a search moves. `search` is the
#: reference's coarse grid, `paper` the one that the paper's winners lie on.
GRIDS: dict[str, dict[str, int]] = {
    "search": {"hidden": 16, "feed_forward": 32, "qkv": 12, "heads": 1},
    "paper": {"hidden": 4, "feed_forward": 4, "qkv": 12, "heads": 1},
}
_BLOCK_ROWS = 1_000_000
#: Architectures that are listed at most; so many take a few minutes.
_MOST_LISTED = 500_000_000
#: From a picosecond to thirty years.
_ANY_LATENCY = LatencyLimit(1e9, (1e-21, 1.0))


def on_search_grid(
    space: SearchSpace, grid: str | None = None, largest: Architecture | None = None
) -> SearchSpace:
    """The part of a space that is searched.

    Args:
        space: The whole space.
        grid: A name of `GRIDS`. When None, a built-in space is searched on the grid `search`, and
            a user's own as it is written.
        largest: Shape of the SuperPLM, when there is one.

    Raises:
        InputError: The grid is unknown, or the SuperPLM holds nothing of the space.
    """
    if grid is None and SPACES.get(space.name) == space:
        grid = "search"
    if grid is not None and grid not in GRIDS:
        raise InputError(f"There is no grid {grid!r}: choose {' or '.join(GRIDS)}.")
    searched = space if grid is None else space.on_grid(**GRIDS[grid])
    return searched if largest is None else searched.limited_to(largest)


@dataclass(frozen=True)
class Candidates:
    """Members of a space, by their number in its enumeration.

    Attributes:
        space: The space that has them.
        numbers: int64 [n], ascending: places in the order of `SearchSpace.blocks`.
        predicted_seconds: Predicted latency [n].
        upper_seconds: Upper end of its interval [n].
    """

    space: SearchSpace
    numbers: npt.NDArray[np.int64]
    predicted_seconds: npt.NDArray[np.float64]
    upper_seconds: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each gene."""
        return tuple(len(values) for values in self.space.genes)

    def architecture(self, position: int) -> Architecture:
        """The architecture at a position from 0 to n - 1."""
        genes = np.unravel_index(int(self.numbers[position]), self.shape)
        layers, hidden, attention, feed_forward = (int(gene) for gene in genes)
        return self.space.at((layers, hidden, attention, feed_forward))

    def genomes(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Genomes [m, 4] of the candidates at some positions [m]."""
        return np.stack(np.unravel_index(self.numbers[positions], self.shape), axis=1)

    def positions(self, genomes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Positions of genomes [m, 4]; -1 for those that are no candidates."""
        numbers = np.ravel_multi_index(tuple(genomes.T), self.shape)
        places = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[places] == numbers, places, -1)

    def position(self, architecture: Architecture) -> int | None:
        """Position of an architecture; None when it is no candidate."""
        if architecture not in self.space or not len(self):
            return None
        place = int(self.positions(np.array([self.space.genome(architecture)]))[0])
        return None if place < 0 else place

    def rows(self) -> npt.NDArray[np.int32]:
        """All of them as an array [n, 5] with the columns of `FEATURES`."""
        layers, hidden, attention, feed_forward = np.unravel_index(self.numbers, self.shape)
        values = self.space
        pairs = np.asarray(values.attention)[attention]
        return np.stack(
            [
                np.asarray(values.layers.values)[layers],
                np.asarray(values.hidden.values)[hidden],
                pairs[:, 0],
                pairs[:, 1],
                np.asarray(values.feed_forward.values)[feed_forward],
            ],
            axis=1,
        ).astype(np.int32)

    def where(self, kept: npt.NDArray[np.bool_]) -> Candidates:
        """Those that a mask [n] keeps."""
        return replace(
            self,
            numbers=self.numbers[kept],
            predicted_seconds=self.predicted_seconds[kept],
            upper_seconds=self.upper_seconds[kept],
        )

    def obeying_fast_rule(self) -> Candidates:
        """Those of the shapes that the fast variant draws from."""
        return self.where(fast_rule(self.rows()))


def feasible(
    space: SearchSpace,
    predictor: LatencyPredictor,
    limit: LatencyLimit,
    *,
    largest: Architecture | None = None,
    correction: float = 1.0,
    bounds: BoundReach | None = None,
    layout: Layout = "tinybert",
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    """Enumerate a space and keep what lies in the window of the limit.

    Args:
        space: The space that is searched, see `on_search_grid`.
        predictor: Predicts latencies.
        limit: The latency limit and its window.
        largest: Shape of the SuperPLM; what it does not hold is left out.
        correction: Factor on predicted latencies, learned from measured finalists.
        bounds: Further limits that a candidate meets.
        layout: Format of the export; as `bert` only what a plain BERT equals is kept.
        progress: Called with the architectures seen and their total.

    Raises:
        InputError: Nothing lies in the window; the message tells what is reachable. Or the space is
            too large to be listed.
    """
    if space.size > _MOST_LISTED:
        raise InputError(
            f"The space {space.name} has {space.size:,} architectures and at most "
            f"{_MOST_LISTED:,} are searched: write larger steps, or search it on a --grid."
        )
    reach = _Reach()
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    for rows, numbers, seen in _blocks(space, largest, layout):
        prediction = predictor.predict(rows)
        latency = correction * prediction.latency_seconds
        reach.see(rows, latency)
        inside = limit.admits(latency)
        if bounds is not None:
            inside[inside] = bounds.admits(rows[inside])
        upper = correction * prediction.upper_seconds[inside]
        parts.append((numbers[inside], latency[inside], upper))
        if progress is not None:
            progress(seen, space.size)
    numbers, latency, upper = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(numbers):
        raise (bounds and bounds.error()) or reach.error(space, limit)
    return Candidates(space, numbers.astype(np.int64), latency, upper)


def _blocks(
    space: SearchSpace, largest: Architecture | None, layout: Layout
) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], int]]:
    """List what can be cut and exported: shapes [n, 5], their numbers [n], architectures seen."""
    exportable = None if layout == "tinybert" else plain_bert_shapes(space)
    sizes = tuple(len(values) for values in space.genes)
    seen = 0
    for rows in space.blocks(_BLOCK_ROWS):
        numbers = np.arange(seen, seen + len(rows))
        seen += len(rows)
        kept = np.ones(len(rows), dtype=np.bool_)
        if largest is not None:  # heads may be too wide one by one although the total fits
            kept &= (rows[:, 2] <= largest.heads) & (rows[:, 3] <= rows[:, 2] * largest.head_size)
        if exportable is not None:
            _, hidden, attention, _ = np.unravel_index(numbers, sizes)
            kept &= exportable[hidden, attention]
        yield rows[kept], numbers[kept], seen


def plain_bert_shapes(space: SearchSpace) -> npt.NDArray[np.bool_]:
    """Whether a plain BERT equals shapes of a space, [hidden sizes, attention pairs].

    Raises:
        InputError: It equals none.
    """
    shapes = np.array(
        [
            [
                plain_bert_heads(Architecture(1, hidden, heads, qkv, 1)) is not None
                for heads, qkv in space.attention
            ]
            for hidden in space.hidden.values
        ]
    )
    if not shapes.any():
        raise InputError(
            f"No architecture of the space {space.name} has a plain BERT that equals it, where "
            "some number of heads divides the hidden size and leaves each as wide as before: "
            "choose the format tinybert, or another space."
        )
    return shapes


def at_percentile(
    space: SearchSpace,
    predictor: LatencyPredictor,
    limit: Percentile,
    *,
    largest: Architecture | None = None,
    layout: Layout = "tinybert",
) -> LatencyLimit:
    """A limit by how much of a space is to stay below it; arguments are those of `feasible`."""
    whole = feasible(space, predictor, _ANY_LATENCY, largest=largest, layout=layout)
    return limit.resolve(whole.predicted_seconds)


class _Reach:
    """The fastest and the slowest architecture seen, for the message when nothing fits."""

    def __init__(self) -> None:
        self.fastest: tuple[float, Architecture] | None = None
        self.slowest: tuple[float, Architecture] | None = None

    def see(self, rows: npt.NDArray[np.int32], latency: npt.NDArray[np.float64]) -> None:
        if not len(rows):
            return
        low, high = int(latency.argmin()), int(latency.argmax())
        if self.fastest is None or latency[low] < self.fastest[0]:
            self.fastest = float(latency[low]), Architecture(*rows[low].tolist())
        if self.slowest is None or latency[high] > self.slowest[0]:
            self.slowest = float(latency[high]), Architecture(*rows[high].tolist())

    def error(self, space: SearchSpace, limit: LatencyLimit) -> InputError:
        """What to tell when no candidate lies in the window."""
        asked = format_duration(limit.seconds)
        if self.fastest is None or self.slowest is None:
            return InputError(f"The SuperPLM holds nothing of the space {space.name}.")
        low, high = limit.bounds_seconds
        if self.fastest[0] > high:
            seconds, architecture = self.fastest
            return InputError(
                f"The limit of {asked} is below reach: the smallest reachable latency in the space "
                f"{space.name} is {format_duration(seconds)} ({architecture}); raise the limit."
            )
        if self.slowest[0] < low:
            seconds, architecture = self.slowest
            return InputError(
                f"The limit of {asked} is above all of the space {space.name}: its slowest is "
                f"{architecture} with a predicted {format_duration(seconds)}; lower the limit or "
                "choose a larger space."
            )
        return InputError(
            f"No architecture of the space {space.name} lies between {format_duration(low)} and "
            f"{format_duration(high)}: widen the window, as in --window 0.7,1.00."
        )
