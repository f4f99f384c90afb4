"""What a timing graph has beside its architecture: small tables, and weights that are random.

Every runtime builds of the same ones what it serves, so that one reference checks them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from atb.devices import RunSettings
from atb.models import Architecture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["TIMING_VOCABULARY", "TimingSizes", "timing_sizes", "timing_weights"]

#: Tokens that a timing graph knows; a larger table is read no faster or slower.
TIMING_VOCABULARY = 1024


class TimingSizes(TypedDict):
    """Rows of its tables, by the names under which they are taken wherever a model is built."""

    vocabulary_size: int
    positions: int


def timing_sizes(settings: RunSettings) -> TimingSizes:
    """BERT's own number of positions, or as many as the sequence needs."""
    return {
        "vocabulary_size": TIMING_VOCABULARY,
        "positions": max(512, settings.sequence_length),
    }


def timing_weights(
    architecture: Architecture, settings: RunSettings
) -> dict[str, npt.NDArray[np.float32]]:
    """Its weights, the same ones at each call."""
    import numpy as np  # runtimes are listed without it

    from atb.models import random_weights

    return random_weights(architecture, np.random.default_rng(0), **timing_sizes(settings))
