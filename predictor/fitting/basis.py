"""What a fit starts from: amounts of work that add up, and quantities that bend the sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Basis", "Columns", "FloatArray", "IntArray", "Quantity", "Rows", "Term"]

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
