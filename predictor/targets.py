"""Targets beside the latency that are predicted from the same measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from atb.devices import RunSettings
from atb.predictor.fitting import (
    QUANTITIES,
    ArchitectureColumns,
    Basis,
    FloatArray,
    Term,
    architecture_basis,
    columns_of,
)
from atb.profiler.statistics import Measurement


@cache
def storage_basis(settings: RunSettings) -> Basis:
    """Amounts that a model stores: numbers in matrices, vectors and activations.

    Activations are of one layer, since their place is used again by the next.
    """
    tokens = settings.batch * settings.sequence_length
    pairs = tokens * settings.sequence_length

    terms: dict[str, Callable[[ArchitectureColumns], FloatArray | float]] = {
        "layer matrices": lambda c: c.layers * c.hidden * (4 * c.qkv + 2 * c.feed_forward),
        "layer vectors": lambda c: c.layers * (6 * c.hidden + 3 * c.qkv + c.feed_forward),
        "layers": lambda c: c.layers,
        "tables": lambda c: c.hidden,
        "pooler": lambda c: c.hidden * c.hidden,
        "hidden values": lambda c: tokens * c.hidden,
        "attention values": lambda c: tokens * c.qkv,
        "feed-forward values": lambda c: tokens * c.feed_forward,
        "attention weights": lambda c: pairs * c.heads,
        "fixed": lambda _: 1.0,
    }
    return Basis(columns_of, tuple(Term(*term) for term in terms.items()), QUANTITIES)


@dataclass(frozen=True, slots=True)
class FurtherTarget:
    """Something measured beside the latency.

    Attributes:
        name: With its unit, as in JSON documents and predictor files.
        of: From a measurement; None where it was not told.
        basis: What it is made of, by the run settings.
    """

    name: str
    of: Callable[[Measurement], float | None]
    basis: Callable[[RunSettings], Basis]


#: Memory and size are those of the timing graph, which has a small vocabulary.
FURTHER_TARGETS: tuple[FurtherTarget, ...] = (
    FurtherTarget("memory_bytes", attrgetter("memory_bytes"), storage_basis),
    FurtherTarget("artefact_bytes", attrgetter("artefact_bytes"), storage_basis),
    FurtherTarget("energy_joules", attrgetter("energy_joules"), architecture_basis),
)
