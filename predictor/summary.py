"""The summary of a fit, which travels with the predictor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atb.predictor.fitting import FloatArray
    from atb.predictor.training_set import TrainingSet


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """Rows that a predictor was fitted on, and its error.

    Attributes:
        rows: Number of measurements fitted on.
        excluded: Number of unusable measurements left out.
        campaigns: Names of the campaigns of the measurements.
        noise: Median relative half width of the measured intervals.
        cross_validated_mape: Mean absolute relative error on rows held out in turn.
        architectures: What it learnt from, in text form; empty where a file does not tell.
    """

    rows: int
    excluded: int
    campaigns: tuple[str, ...]
    noise: float
    cross_validated_mape: float
    architectures: tuple[str, ...] = ()

    @classmethod
    def of(cls, sets: Sequence[TrainingSet], errors: FloatArray) -> TrainingSummary:
        """The summary of a fit.

        Args:
            sets: Training sets that were fitted on.
            errors: Relative errors on these rows when they were held out, float64[n].
        """
        import numpy as np

        return cls(
            rows=len(errors),
            excluded=sum(s.excluded for s in sets),
            campaigns=tuple(dict.fromkeys(name for s in sets for name in s.campaigns)),
            noise=float(np.median(np.concatenate([s.half_widths / s.seconds for s in sets]))),
            cross_validated_mape=float(np.mean(np.abs(errors))),
            architectures=tuple(dict.fromkeys(text for s in sets for text in s.architectures)),
        )

    def to_fields(self) -> dict[str, Any]:
        """As fields of a predictor's document; an older version overlooks `learnt_from`."""
        training = {**asdict(self), "campaigns": list(self.campaigns)}
        return {"learnt_from": list(training.pop("architectures")), "training": training}

    @classmethod
    def from_fields(cls, document: Mapping[str, Any]) -> TrainingSummary:
        """The reverse of `to_fields`; a document of an older version has no `learnt_from`.

        Raises:
            KeyError, TypeError, ValueError: These are no such values.
        """
        fields, learnt = document["training"], document.get("learnt_from", [])
        if not isinstance(learnt, list) or not all(isinstance(text, str) for text in learnt):
            raise ValueError("learnt from something else than architectures")
        summary = cls(
            **{**fields, "campaigns": tuple(fields["campaigns"]), "architectures": tuple(learnt)}
        )
        if not (isinstance(summary.rows, int) and summary.rows > 0):
            raise ValueError(f"fitted on {summary.rows!r} rows")
        if not 0 <= summary.cross_validated_mape < math.inf:
            raise ValueError(f"a cross-validated error of {summary.cross_validated_mape!r}")
        return summary
