"""What models answer, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from atb.devices.worker.core.interface import WorkerError

__all__ = ["checksum_of", "numbers_of"]


def numbers_of(output: Any) -> npt.NDArray[Any] | None:
    """The first part of an output that is numbers; None where there is none.

    An output may also be texts, missing, or a sequence or a map of outputs.
    """
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        if output and all(isinstance(part, (bool, int, float)) for part in output):
            return np.asarray(output, np.float64)
        parts = (numbers_of(part) for part in output)
        return next((numbers for numbers in parts if numbers is not None), None)
    found = np.asarray(output)
    return found if found.dtype.kind in "biuf" and found.size else None


def checksum_of(outputs: Any) -> float:
    """The sum of the first output that is numbers; zero where there is none.

    Infinite values are left out, with which models exclude what may not be chosen.
    """
    numbers = numbers_of(outputs)
    if numbers is None:
        return 0.0
    with np.errstate(all="ignore"):
        total = float(np.sum(numbers, dtype=np.float64))
        if np.isfinite(total):
            return total
        finite = np.isfinite(numbers)
        if np.isnan(numbers).any() or not finite.any():
            raise WorkerError("wrong-output", "the output holds values that are not finite")
        return float(np.nan_to_num(np.sum(numbers, dtype=np.float64, where=finite)))
