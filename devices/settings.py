"""How a model is run: everything that the user chooses about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from atb.errors import InputError

__all__ = ["PRECISIONS", "SCENARIOS", "RunSettings"]

PRECISIONS = ("fp32", "int8")
SCENARIOS = ("hot-loop",)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a model is run on a device.

    Attributes:
        precision: `fp32`, or `int8` (dynamic quantisation of the matrix products).
        threads: Threads that compute one inference.
        affinity: Logical CPUs that the worker is pinned to; None leaves it to the system.
        batch: Sequences in one inference.
        sequence_length: Tokens in one sequence.
        scenario: How inferences follow each other; `hot-loop` is one right after the other.

    Raises:
        InputError: A value is out of range.
    """

    precision: str = "fp32"
    threads: int = 1
    affinity: tuple[int, ...] | None = None
    batch: int = 1
    sequence_length: int = 128
    scenario: str = "hot-loop"

    def __post_init__(self) -> None:
        for name, known in (("precision", PRECISIONS), ("scenario", SCENARIOS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}: choose {' or '.join(known)}.")
        for name, most in (("threads", 1024), ("batch", 65_536), ("sequence_length", 65_536)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(
                    f"{name} is {getattr(self, name)}: give a whole number from 1 to {most}."
                )
        if self.affinity is not None and (not self.affinity or min(self.affinity) < 0):
            raise InputError(
                f"affinity is {self.affinity}: name at least one CPU, counted from zero."
            )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        fields = asdict(self)
        fields["affinity"] = None if self.affinity is None else list(self.affinity)
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RunSettings:
        """The reverse of `to_json`."""
        affinity = fields["affinity"]
        return cls(**{**fields, "affinity": None if affinity is None else tuple(affinity)})
