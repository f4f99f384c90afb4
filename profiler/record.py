"""The raw facts that a campaign writes down, one record a block and one a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from atb.devices.contract import Block
from atb.models.architecture import Architecture
from atb.profiler.conditions import Conditions

__all__ = ["BlockRecord", "Failure", "block_from_json", "block_to_json"]


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """One block of one architecture, with what the machine was like around it.

    Attributes:
        architecture: What was timed.
        launch: Index of the launch, counted from zero for each architecture of a campaign.
        block: Index of the block in its launch.
        readings: The raw readings.
        sentinel_before: Readings of the sentinel just before; None where none was timed.
        sentinel_after: The same just after.
        artefact_sha256: Hash of the file that was run.
        state: Readings of the device just before.
    """

    architecture: Architecture
    launch: int
    block: int
    readings: Block
    sentinel_before: Block | None = None
    sentinel_after: Block | None = None
    artefact_sha256: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be measured, and why.

    Attributes:
        architecture: What was asked for; None where the device itself failed.
        conditions: Under which conditions.
        campaign: Name of the campaign.
        cause: One of `LaunchFailure.CAUSES`.
        detail: What was seen.
        at: Unix time on the device, in seconds.
    """

    architecture: Architecture | None
    conditions: Conditions
    campaign: str
    cause: str
    detail: str
    at: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "architecture": None if self.architecture is None else str(self.architecture),
            "conditions": self.conditions.to_json(),
            "campaign": self.campaign,
            "cause": self.cause,
            "detail": self.detail,
            "at": self.at,
        }


def block_to_json(block: Block) -> dict[str, Any]:
    """The readings of a block as plain values."""
    return asdict(block)


def block_from_json(fields: Mapping[str, Any]) -> Block:
    """The reverse of `block_to_json`."""
    sequences = {name: tuple(value) for name, value in fields.items() if name != "started_at"}
    return Block(started_at=fields["started_at"], **sequences)
