"""Measured values of rows, checked: what a model is fitted on, whatever the rows are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from atb.predictor.fitting.basis import FloatArray, IntArray, Rows

__all__ = ["Observations"]


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
