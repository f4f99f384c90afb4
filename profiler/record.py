"""The raw facts that a campaign writes down: one record a block, a load and a failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from atb.devices import Block, Loaded
from atb.devices.worker import ProtocolError, parse_block, parse_line
from atb.models import Architecture
from atb.profiler.conditions import Conditions
from atb.profiler.subject import Subject

__all__ = [
    "BlockRecord",
    "Campaign",
    "Failure",
    "LoadRecord",
    "block_from_text",
    "block_to_text",
]


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as the database knows it.

    Attributes:
        id: Its number in the database.
        label: Its unique name: the name given, numbered from the second of that name on.
        space: Name of the search space; empty where architectures were listed.
        seed: Of the samples and of the order of the blocks.
        launches: Of each architecture, before the stop rule asks for more.
        sentinel: The architecture that was timed next to every block.
        conditions: Under which it measures.
        uuid: What it is called in every database that holds it: 32 hexadecimal digits.
    """

    id: int
    label: str
    space: str
    seed: int
    launches: int
    sentinel: Architecture
    conditions: Conditions
    uuid: str


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """One block of one subject, with what the machine was like around it.

    Attributes:
        subject: What was timed.
        launch: Index of the launch, counted from zero for each subject of a campaign.
        block: Index of the block in its launch.
        readings: The raw readings.
        sentinel_before: Readings of the sentinel just before; None where none was timed.
        sentinel_after: The same just after.
        cache_sentinel: Readings of the second sentinel between the first one and the block; None
            where it was not its turn.
        artefact_sha256: Hash of the file that was run.
        state: Readings of the device just before.
        state_after: The same just after, where they were taken: what is counted, such as energy.
    """

    subject: Subject
    launch: int
    block: int
    readings: Block
    sentinel_before: Block | None = None
    sentinel_after: Block | None = None
    artefact_sha256: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)
    state_after: Mapping[str, Any] = field(default_factory=dict)
    cache_sentinel: Block | None = None


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """One load of one subject in one launch; a killed launch is repeated, and so are its loads.

    Attributes:
        subject: What was loaded; the sentinel is one too.
        launch: Index of the launch, counted from zero for each subject of a campaign.
        loaded: What loading it showed.
        artefact_sha256: Hash of the file that was loaded.
        artefact_bytes: Its size.
        at: Unix time on the device, in seconds.
    """

    subject: Subject
    launch: int
    loaded: Loaded
    artefact_sha256: str
    artefact_bytes: int
    at: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be measured, and why.

    Attributes:
        subject: What was asked for; None where it was none's fault, as when the device failed, or
            several models shared a worker.
        conditions: Under which conditions.
        campaign: Name of the campaign.
        cause: One of `LaunchFailure.CAUSES`.
        detail: What was seen.
        at: Unix time on the device, in seconds.
    """

    subject: Subject | None
    conditions: Conditions
    campaign: str
    cause: str
    detail: str
    at: float

    @property
    def name(self) -> str:
        """Of what failed: a model, or else the device."""
        return self.conditions.device if self.subject is None else str(self.subject)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "architecture": None if self.subject is None else str(self.subject),
            "conditions": self.conditions.to_json(),
            "campaign": self.campaign,
            "cause": self.cause,
            "detail": self.detail,
            "at": self.at,
        }


def block_to_text(block: Block) -> str:
    """The readings of a block as compact JSON."""
    return json.dumps(asdict(block), separators=(",", ":"))


def block_from_text(text: str) -> Block:
    """The reverse of `block_to_text`, checked as strictly as what a device answers.

    Raises:
        ProtocolError: They are no readings of a block.
    """
    fields = parse_line(text)
    wall = fields.get("wall_seconds")
    if not isinstance(wall, list) or not wall:
        raise ProtocolError("a block without readings")
    return parse_block(fields, iterations=len(wall), warmup=None)
