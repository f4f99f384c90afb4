"""What a fit starts from: observed rows, amounts of work that add up, quantities that bend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]
#: Whole or real numbers [n, columns].
Rows = npt.NDArray[Any]
#: The columns of some rows, each float64[n]: products of whole numbers would overflow.
Columns = Sequence[FloatArray]


@dataclass(frozen=True, slots=True)
class Term:
    """An amount of work.

    Attributes:
        name: As stored in predictor files.
        amount: From columns, not negative: float64[n] or one number for all.
    """

    name: str
    amount: Callable[[Any], FloatArray | float]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A size on which the coefficient of a unit of work may depend.

    Attributes:
        name: As stored in predictor files.
        of: Computes the size from columns, float64[n].
        fills_lanes: Whether it is a width of matrices, so that its remainder by the number of
            vector lanes matters.
    """

    name: str
    of: Callable[[Any], FloatArray]
    fills_lanes: bool = False


@dataclass(frozen=True, slots=True)
class Basis:
    """Terms and quantities of one kind of rows.

    Attributes:
        columns_of: From rows to their columns; raises InputError where they are of another kind.
        terms: Amounts of work that add up.
        quantities: Sizes that may bend the sum.
    """

    columns_of: Callable[[Rows], Columns]
    terms: tuple[Term, ...]
    quantities: tuple[Quantity, ...]

    def amounts(self, rows: Rows) -> FloatArray:
        """Amounts of all terms, float64[n, terms]."""
        columns = self.columns_of(rows)
        amounts = np.empty((len(rows), len(self.terms)))
        for i, term in enumerate(self.terms):
            amounts[:, i] = term.amount(columns)
        return amounts


@dataclass(frozen=True, slots=True)
class Observations:
    """One positive value for each row.

    Attributes:
        rows: Numbers of each row, [n, columns].
        values: What was measured, float64[n], above zero.
        half_widths: Half the width of each measured interval, float64[n]; 0 where it is unknown.
        order: When each was measured, in any unit, float64[n]; None where it is unknown.
    """

    rows: Rows
    values: FloatArray
    half_widths: FloatArray
    order: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: IntArray) -> Observations:
        """Those at these positions."""
        return replace(
            self,
            rows=self.rows[index],
            values=self.values[index],
            half_widths=self.half_widths[index],
            order=None if self.order is None else self.order[index],
        )

    def folds(self, count: int, rng: np.random.Generator) -> list[IntArray]:
        """Split the positions at random; all that are equal fall into one fold.

        Returns:
            At most `count` arrays of positions, none empty.
        """
        _, group = np.unique(self.rows, axis=0, return_inverse=True)
        groups = int(group.max()) + 1
        fold_of_group = rng.permutation(np.arange(groups) % count)
        return [np.flatnonzero(fold_of_group[group] == fold) for fold in range(min(count, groups))]

    def splits(
        self, count: int, rng: np.random.Generator
    ) -> list[tuple[IntArray, Observations, Observations]]:
        """The folds, each with the rows outside it and those in it."""
        folds = self.folds(count, rng)
        rests = (np.setdiff1d(np.arange(len(self)), fold) for fold in folds)
        return [(f, self.take(rest), self.take(f)) for f, rest in zip(folds, rests, strict=True)]
