"""How a model is run: everything that the user chooses about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from atb.errors import InputError

PRECISIONS = ("fp32", "int8")
#: How inferences follow each other.
SCENARIOS = ("hot-loop", "fixed-rate", "single-shot", "sustained", "cold-start", "throughput")

_PACED = ("fixed-rate", "single-shot")
_LONGEST_INTERVAL_SECONDS = 60.0
_MOST_STREAMS = 256


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a model is run on a device.

    Attributes:
        precision: `fp32`, or `int8` (dynamic quantisation of the matrix products).
        threads: Threads that compute one inference.
        affinity: Logical CPUs that the worker is pinned to; None leaves it to the system.
        batch: Sequences in one inference.
        sequence_length: Tokens in one sequence.
        scenario: How inferences follow each other. `hot-loop`: one right after the other.
            `fixed-rate`: one begins every `interval_seconds`. `single-shot`: one after
            `interval_seconds` of idleness. `sustained`: a hot loop of minutes. `cold-start`: the
            load and the first inference of a fresh process. `throughput`: `streams` hot loops at
            the same time on one model.
        interval_seconds: See `fixed-rate` and `single-shot`; None for the others.
        streams: See `throughput`; 1 for the others.

    Raises:
        InputError: A value is out of range.
    """

    precision: str = "fp32"
    threads: int = 1
    affinity: tuple[int, ...] | None = None
    batch: int = 1
    sequence_length: int = 128
    scenario: str = "hot-loop"
    interval_seconds: float | None = None
    streams: int = 1

    def __post_init__(self) -> None:
        for name, known in (("precision", PRECISIONS), ("scenario", SCENARIOS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}: choose {' or '.join(known)}.")
        for name, most in (("threads", 1024), ("batch", 65_536), ("sequence_length", 65_536)):
            _check_count(name, getattr(self, name), most)
        self._check_scenario()
        cpus = self.affinity
        if cpus is not None and not (cpus and all(_is_whole(cpu) and cpu >= 0 for cpu in cpus)):
            raise InputError(f"affinity is {cpus}: name at least one CPU, counted from zero.")

    def _check_scenario(self) -> None:
        interval, paced = self.interval_seconds, self.scenario in _PACED
        is_number = isinstance(interval, int | float)
        if paced and not (is_number and 0 < interval <= _LONGEST_INTERVAL_SECONDS):  # type: ignore[operator]
            raise InputError(
                f"The scenario {self.scenario} came with the interval {interval}: give one above "
                f"zero up to {_LONGEST_INTERVAL_SECONDS:.0f} s with --interval."
            )
        if not paced and interval is not None:
            raise InputError(
                f"An interval is for {' and '.join(_PACED)}, not for {self.scenario}: leave it out."
            )
        _check_count("streams", self.streams, _MOST_STREAMS)
        if self.streams > 1 and self.scenario != "throughput":
            raise InputError(f"Streams are for throughput, not {self.scenario}: leave them out.")

    def to_json(self) -> dict[str, Any]:
        """As plain values; what only some scenarios have is left out where it is not used."""
        fields = asdict(self)
        if self.interval_seconds is None:
            del fields["interval_seconds"]
        if self.streams == 1:
            del fields["streams"]
        fields["affinity"] = None if self.affinity is None else list(self.affinity)
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RunSettings:
        """The reverse of `to_json`."""
        affinity = fields["affinity"]
        return cls(**{**fields, "affinity": None if affinity is None else tuple(affinity)})


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_count(name: str, value: int, most: int) -> None:
    """Refuse what is no count; files and devices may bring anything."""
    if not _is_whole(value) or not 1 <= value <= most:
        raise InputError(f"{name} is {value}: give a whole number from 1 to {most}.")
