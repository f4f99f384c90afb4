"""Where a fitted predictor comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["TrainingSummary"]


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """What a predictor was fitted on, and how well.

    Attributes:
        rows: Measurements fitted on.
        excluded: Flagged measurements left out.
        campaigns: Names of the campaigns.
        noise: Median relative half width of the measured intervals.
        cross_validated_mape: Mean absolute relative error on rows held out in turn.
    """

    rows: int
    excluded: int
    campaigns: tuple[str, ...]
    noise: float
    cross_validated_mape: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "campaigns": list(self.campaigns)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> TrainingSummary:
        """The reverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: These are no such values.
        """
        summary = cls(**{**fields, "campaigns": tuple(fields["campaigns"])})
        if not (isinstance(summary.rows, int) and summary.rows > 0):
            raise ValueError(f"fitted on {summary.rows!r} rows")
        if not 0 <= summary.cross_validated_mape < math.inf:
            raise ValueError(f"a cross-validated error of {summary.cross_validated_mape!r}")
        return summary
