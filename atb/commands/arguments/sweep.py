"""Settings as lists: `--threads 1,2 --precision fp32,int8` names every combination of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from atb.commands.arguments.target import Target, find_serving, parse_affinity
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.devices import Device
    from atb.devices.runtimes import ArtefactCache

__all__ = ["Sweep", "expand_affinity", "parse_list"]

_T = TypeVar("_T")

#: Between sets of CPUs; a comma stands between the CPUs of one.
_SETS = "/"
_CLUSTERS = "clusters"


def parse_list(text: str, read: Callable[[str], _T], option: str) -> list[_T]:
    """Turn `1,2,4` into its values, in order and without doubles.

    Args:
        text: What the user wrote.
        read: Turns one part into a value, or raises ValueError.
        option: For the message, such as `--threads`.

    Raises:
        InputError: A part cannot be read.
    """
    found: dict[_T, None] = {}
    for part in text.split(","):
        try:
            found[read(part.strip())] = None
        except ValueError as error:
            raise InputError(
                f"{option} is {text!r}: write one value, or several like 1,2."
            ) from error
    return list(found)


def expand_affinity(text: str | None, device: Device) -> list[tuple[int, ...] | None]:
    """Turn `0,1/2,3` into two sets of CPUs, and `clusters` into one set for each cluster.

    Args:
        text: What the user wrote; None leaves it to the system.
        device: Whose clusters are meant, the fastest first.

    Raises:
        InputError: A set is not a list of CPUs, or the device does not tell its clusters.
    """
    if text is None:
        return [None]
    if text == _CLUSTERS:
        clusters: Sequence[Sequence[int]] = getattr(device, "clusters", ())
        if not clusters:
            raise InputError(
                f"{device.name} does not tell which of its CPUs are equally fast: "
                "list them, such as --affinity 0,1/2,3."
            )
        return [tuple(cluster) for cluster in clusters]
    return [parse_affinity(part) for part in text.split(_SETS)]


@dataclass(frozen=True)
class Sweep:
    """Every combination of some settings on one device.

    Attributes:
        precisions: Such as `("fp32", "int8")`.
        threads: Numbers of threads.
        batches: Numbers of sequences.
        sequence_lengths: In tokens.
        affinities: Sets of CPUs; None leaves it to the system.
        scenario: How inferences follow each other.
        interval_seconds: Of a paced scenario.
        streams: Numbers of concurrent streams of `throughput`.
    """

    precisions: Sequence[str] = ("fp32",)
    threads: Sequence[int] = (1,)
    batches: Sequence[int] = (1,)
    sequence_lengths: Sequence[int] = (128,)
    affinities: Sequence[tuple[int, ...] | None] = (None,)
    scenario: str = "hot-loop"
    interval_seconds: float | None = None
    streams: Sequence[int] = (1,)

    def targets(
        self, device: Device, runtime: str | None, cache: ArtefactCache | None = None
    ) -> list[Target]:
        """All combinations, in the order in which they are measured.

        Args:
            device: Where.
            runtime: Name of one of its runtimes; its first one if none is given.
            cache: Where what it builds is kept.

        Raises:
            InputError: One of them is impossible.
        """
        from atb.devices import RunSettings

        found = find_serving(device, runtime, self.precisions, cache)
        combinations: Any = itertools.product(
            self.precisions,
            self.threads,
            self.affinities,
            self.batches,
            self.sequence_lengths,
            [self.scenario],
            [self.interval_seconds],
            self.streams,
        )
        names = (
            "precision",
            "threads",
            "affinity",
            "batch",
            "sequence_length",
            "scenario",
            "interval_seconds",
            "streams",
        )
        return [
            Target(device, found, RunSettings(**dict(zip(names, values, strict=True))))
            for values in combinations
        ]
