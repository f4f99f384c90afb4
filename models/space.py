"""The search spaces, written once or read from a TOML file; all that needs one finds it here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.errors import BadArchitecture, BadFile, InputError
from atb.files import read_toml
from atb.models.architecture import Architecture

#: Column order of every array of architectures.
FEATURES = ("layers", "hidden", "heads", "qkv", "feed_forward")


@dataclass(frozen=True)
class Dimension:
    """An arithmetic progression of values: first, first + step, ..., at most last."""

    first: int
    last: int
    step: int = 1

    def __post_init__(self) -> None:
        if self.first < 1 or self.step < 1 or self.last < self.first:
            raise InputError(
                f"A dimension from {self.first} to {self.last} in steps of {self.step} is empty: "
                "give positive numbers with first <= last."
            )

    @property
    def values(self) -> tuple[int, ...]:
        """All values, ascending."""
        return tuple(range(self.first, self.last + 1, self.step))


@dataclass(frozen=True)
class SearchSpace:
    """A set of architectures: the product of layers, hidden, feed-forward and attention shapes.

    The attention is one gene, a pair of heads and query width. Either `head_size` ties the width
    to the heads (whole heads come and go, as in the paper's MLM space), or `qkv` is a dimension of
    its own (every head narrows, as in the KD space).

    Attributes:
        name: What the space is called in files and on the command line.
        layers: Numbers of Transformer layers, L.
        hidden: Hidden sizes, H.
        heads: Numbers of attention heads, A.
        feed_forward: Inner sizes of the feed-forward block, F.
        qkv: Widths of query, key and value, Q; pairs that the heads do not divide are left out.
        head_size: Width of one head, in place of `qkv`.
        widest_head: Pairs with wider heads are left out; None leaves none out.
    """

    name: str
    layers: Dimension
    hidden: Dimension
    heads: Dimension
    feed_forward: Dimension
    qkv: Dimension | None = None
    head_size: int | None = None
    widest_head: int | None = None

    def __post_init__(self) -> None:
        if (self.qkv is None) == (self.head_size is None):
            raise InputError(f"Space {self.name!r}: give either qkv or head_size, not both.")
        if not self.attention:
            raise InputError(f"Space {self.name!r}: no number of heads divides any query width.")

    @cached_property
    def attention(self) -> tuple[tuple[int, int], ...]:
        """All pairs (heads, qkv), ascending."""
        if self.head_size is not None:
            return tuple((heads, heads * self.head_size) for heads in self.heads.values)
        assert self.qkv is not None
        widest = self.widest_head or self.qkv.last
        return tuple(
            (a, q)
            for a in self.heads.values
            for q in self.qkv.values
            if q % a == 0 and q // a <= widest
        )

    @property
    def genes(self) -> tuple[tuple[Any, ...], ...]:
        """Values of the four genes: layers, hidden, attention pair, feed-forward."""
        return (self.layers.values, self.hidden.values, self.attention, self.feed_forward.values)

    @property
    def size(self) -> int:
        """Number of architectures."""
        return math.prod(len(values) for values in self.genes)

    @property
    def largest(self) -> Architecture:
        """The architecture with the largest value everywhere: the shape of the SuperPLM."""
        return self._corner(-1)

    @property
    def smallest(self) -> Architecture:
        """The architecture with the smallest value everywhere."""
        return self._corner(0)

    def _corner(self, place: int) -> Architecture:
        """The architecture with the first or the last value everywhere, the widest pair last."""
        heads, qkv = sorted(self.attention, key=lambda pair: (pair[1], pair[0]))[place]
        layers, hidden, feed_forward = (
            dimension.values[place] for dimension in (self.layers, self.hidden, self.feed_forward)
        )
        return Architecture(layers, hidden, heads, qkv, feed_forward)

    def genome(self, architecture: Architecture) -> tuple[int, int, int, int]:
        """Positions of an architecture on the four genes.

        Raises:
            BadArchitecture: It is not a member.
        """
        a = architecture
        wanted = (a.layers, a.hidden, (a.heads, a.qkv), a.feed_forward)
        try:
            layers, hidden, attention, feed_forward = (
                values.index(value) for values, value in zip(self.genes, wanted, strict=True)
            )
        except ValueError as error:
            raise BadArchitecture(
                f"{architecture} is not in the space {self.name}: "
                f"see `atb space show {self.name}` for what is."
            ) from error
        return layers, hidden, attention, feed_forward

    def at(self, genome: tuple[int, int, int, int]) -> Architecture:
        """The architecture at these gene positions."""
        layers, hidden, (heads, qkv), feed_forward = (
            values[position] for values, position in zip(self.genes, genome, strict=True)
        )
        return Architecture(layers, hidden, heads, qkv, feed_forward)

    def __contains__(self, architecture: object) -> bool:
        with suppress(BadArchitecture):
            return isinstance(architecture, Architecture) and bool(self.genome(architecture))
        return False

    def sample(self, rng: np.random.Generator, count: int) -> list[Architecture]:
        """Draw distinct architectures uniformly; a longer draw begins with the shorter one.

        Raises:
            InputError: The space has fewer than `count` members.
        """
        if count > self.size:
            raise InputError(
                f"{count} samples were asked of the space {self.name}, which has {self.size}: "
                "ask for fewer."
            )
        drawn: dict[int, None] = {}  # a dictionary keeps the order of the draws
        while len(drawn) < count:
            drawn[int(rng.integers(self.size))] = None
        return [self.at(self._unravel(index)) for index in drawn]

    def _unravel(self, index: int) -> tuple[int, int, int, int]:
        shape = tuple(len(values) for values in self.genes)
        a, b, c, d = (int(i) for i in np.unravel_index(index, shape))
        return a, b, c, d

    def blocks(self, rows: int = 1_000_000) -> Iterator[npt.NDArray[np.int32]]:
        """Enumerate the space in arrays of at most about `rows` rows.

        Yields:
            int32 arrays [n, 5] with the columns of `FEATURES`; every architecture once, in
            ascending order of the genome.
        """
        pairs = np.asarray(self.attention, dtype=np.int32)
        feed_forward = np.asarray(self.feed_forward.values, dtype=np.int32)
        inner = len(pairs) * len(feed_forward)
        outer = np.stack(
            np.meshgrid(self.layers.values, self.hidden.values, indexing="ij"), axis=-1
        ).reshape(-1, 2)
        pair_column = np.repeat(pairs, len(feed_forward), axis=0)  # [inner, 2]
        feed_column = np.tile(feed_forward, len(pairs))  # [inner]
        step = max(1, rows // inner)
        for start in range(0, len(outer), step):
            part = outer[start : start + step]
            block = np.empty((len(part) * inner, 5), dtype=np.int32)
            block[:, :2] = np.repeat(part, inner, axis=0)
            block[:, 2:4] = np.tile(pair_column, (len(part), 1))
            block[:, 4] = np.tile(feed_column, len(part))
            yield block

    def on_grid(self, *, hidden: int, feed_forward: int, qkv: int, heads: int) -> SearchSpace:
        """The part of the space on a coarser grid of about these steps.

        A step becomes the next multiple of the space's own, so that all members are the space's.
        """

        def coarser(dimension: Dimension, step: int) -> Dimension:
            return replace(dimension, step=math.ceil(step / dimension.step) * dimension.step)

        return replace(
            self,
            hidden=coarser(self.hidden, hidden),
            feed_forward=coarser(self.feed_forward, feed_forward),
            heads=coarser(self.heads, heads),
            qkv=None if self.qkv is None else coarser(self.qkv, qkv),
        )

    def limited_to(self, largest: Architecture) -> SearchSpace:
        """The part of the space that a SuperPLM of this shape holds.

        Raises:
            InputError: The SuperPLM holds no architecture of the space.
        """
        if self.head_size is not None and self.head_size > largest.head_size:
            raise InputError(
                f"The space {self.name} has heads of {self.head_size} and the SuperPLM {largest}, "
                f"whose heads are {largest.head_size} wide, does not hold it: choose another space "
                "or SuperPLM."
            )

        def cut(dimension: Dimension, last: int) -> Dimension:
            return replace(dimension, last=min(dimension.last, last))

        widest = max(qkv // heads for heads, qkv in self.attention)
        try:
            return replace(
                self,
                layers=cut(self.layers, largest.layers),
                hidden=cut(self.hidden, largest.hidden),
                heads=cut(self.heads, largest.heads),
                feed_forward=cut(self.feed_forward, largest.feed_forward),
                qkv=None if self.qkv is None else cut(self.qkv, largest.qkv),
                widest_head=largest.head_size if widest > largest.head_size else self.widest_head,
            )
        except InputError as error:  # a dimension, or the attention, has no value left
            raise InputError(
                f"The space {self.name} begins at {self.smallest} and the SuperPLM is {largest}, "
                "which does not hold it: choose another space or SuperPLM."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The document of `atb space show --json`: name, size, dimensions."""

        def described(values: Sequence[int], step: int) -> dict[str, int]:
            return {"first": values[0], "last": values[-1], "step": step, "count": len(values)}

        found = {
            name: getattr(self, name) for name in ("layers", "hidden", "heads", "feed_forward")
        }
        dimensions = {name: described(d.values, d.step) for name, d in found.items()}
        step = self.qkv.step if self.qkv else (self.head_size or 0) * self.heads.step
        dimensions["qkv"] = described(sorted({qkv for _, qkv in self.attention}), step)
        for name in ("head_size", "widest_head"):
            if getattr(self, name) is not None:
                dimensions["qkv"][name] = getattr(self, name)
        return {"name": self.name, "size": self.size, "dimensions": dimensions}


def fast_rule(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """The shape rule of the fast variant: 1.6 <= F/H <= 1.9 and 0.7 <= Q/H <= 1.0.

    Args:
        rows: int array [n, 5] with the columns of `FEATURES`.

    Returns:
        bool array [n]. Compared in whole numbers, so that the bounds themselves are inside.
    """
    hidden, qkv, feed_forward = rows[:, 1], rows[:, 3], rows[:, 4]
    return (
        (10 * feed_forward >= 16 * hidden)
        & (10 * feed_forward <= 19 * hidden)
        & (10 * qkv >= 7 * hidden)
        & (qkv <= hidden)
    )


def _space(
    name: str,
    layers: tuple[int, int],
    hidden: tuple[int, int, int],
    heads: tuple[int, int],
    feed_forward: tuple[int, int, int],
    **attention: Any,
) -> SearchSpace:
    """A space whose dimensions are written as first, last and step."""
    return SearchSpace(
        name,
        layers=Dimension(*layers),
        hidden=Dimension(*hidden),
        heads=Dimension(*heads),
        feed_forward=Dimension(*feed_forward),
        **attention,
    )


_KD_WIDTHS, _KD_FRIENDLY_WIDTHS = Dimension(180, 768, 12), Dimension(192, 768, 96)
SPACES: dict[str, SearchSpace] = {
    space.name: space
    for space in (
        # Yin et al. 2021: 11,391,072 and 47,462,800 architectures
        _space("mlm", (1, 8), (128, 768, 4), (1, 12), (128, 3072, 4), head_size=64),
        _space("kd", (1, 8), (128, 768, 4), (12, 12), (128, 3072, 4), qkv=_KD_WIDTHS),
        # what the bundled SuperPLM holds; the default
        _space("mini", (1, 6), (128, 384, 16), (2, 12), (128, 1536, 32), head_size=32),
        # the same on grids that fill vector lanes: no odd head sizes, no ragged tiles
        _space("mlm-friendly", (1, 8), (128, 768, 32), (1, 12), (128, 3072, 64), head_size=64),
        _space(
            "kd-friendly",
            (1, 8),
            (128, 768, 32),
            (12, 12),
            (128, 3072, 64),
            qkv=_KD_FRIENDLY_WIDTHS,
        ),
    )
}


def find_space(name: str) -> SearchSpace:
    """A built-in space by name, or a user's own by the path of its TOML file.

    Raises:
        InputError: There is no such space.
    """
    if name in SPACES:
        return SPACES[name]
    if name.endswith(".toml"):
        return read_space(Path(name))
    raise InputError(
        f"There is no search space {name!r}: choose one of {', '.join(SPACES)}, "
        "or give the path of a TOML file."
    )


def read_space(path: Path) -> SearchSpace:
    """Read a user's own space.

    The file holds `name` and, for each dimension, `[first, last]` or `[first, last, step]`:
    `layers`, `hidden`, `heads`, `feed_forward`, and `qkv` or the number `head_size`.

    Raises:
        BadFile: It is missing, not TOML, or lacks something.
    """
    return _space_of(read_toml(path, "search space file"), path)


def _space_of(table: Mapping[str, Any], path: Path) -> SearchSpace:
    names = ("layers", "hidden", "heads", "feed_forward", "qkv")
    unknown = set(table) - {*names, "name", "head_size"}
    if unknown:
        raise BadFile(f"{path}: unknown entry {min(unknown)!r}; known are {', '.join(names)}.")
    dimensions: dict[str, Any] = {}
    for name in names:
        numbers: Any = table.get(name)
        if name == "qkv" and numbers is None:
            continue
        is_list = isinstance(numbers, list) and len(numbers) in (2, 3)
        if not is_list or not all(map(_is_whole, numbers)):
            found = f"{name!r} is missing" if numbers is None else f"{name} is {numbers!r}"
            raise BadFile(f"{path}: {found}; write {name} = [first, last, step].")
        dimensions[name] = Dimension(*numbers)
    head_size = table.get("head_size")
    if head_size is not None and not (_is_whole(head_size) and head_size >= 1):
        raise BadFile(f"{path}: head_size is {head_size!r}; write a whole number.")
    return SearchSpace(name=str(table.get("name", path.stem)), head_size=head_size, **dimensions)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
