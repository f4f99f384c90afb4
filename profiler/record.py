"""The raw facts that a campaign writes down: what was timed, under which conditions, what was read.

Everything that a latency depends on is a subject or a condition; no number exists without both.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atb.devices import Block, Device, Loaded, RunSettings, Runtime
from atb.devices.runtimes import describe_model
from atb.devices.worker import ProtocolError, parse_block, parse_line
from atb.errors import BadFile, InputError
from atb.models import Architecture, precision_of
from atb.plain import to_plain
from atb.text import given_text


@dataclass(frozen=True, slots=True)
class Conditions:
    """Device, runtime with versions, and settings of a measurement.

    Attributes:
        device: Name of the device.
        platform: Sorted pairs of facts that identify its hardware.
        runtime: Name of the runtime.
        runtime_version: Its version.
        settings: How the model was run.
    """

    device: str
    platform: tuple[tuple[str, str], ...]
    runtime: str
    runtime_version: str
    settings: RunSettings

    @classmethod
    def of(cls, device: Device, runtime: Runtime, settings: RunSettings) -> Conditions:
        """The conditions of a measurement that is about to be made."""
        platform = tuple(sorted(device.platform.items()))
        return cls(device.name, platform, runtime.name, runtime.version, settings)

    @property
    def emulator(self) -> str | None:
        """What stands in for the device's processor, such as `qemu-aarch64`; usually None."""
        return dict(self.platform).get("emulated")

    def to_json(self) -> dict[str, Any]:
        """As plain values; the settings stand beside the rest, not below it."""
        return {
            "device": self.device,
            "platform": dict(self.platform),
            "runtime": self.runtime,
            "runtime_version": self.runtime_version,
            **self.settings.to_json(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Conditions:
        """The reverse of `to_json`.

        Raises:
            InputError, KeyError, TypeError, ValueError: They describe no conditions.
        """
        own = ("device", "platform", "runtime", "runtime_version")
        texts = [fields["device"], fields["runtime"], fields["runtime_version"]]
        facts = dict(fields["platform"])
        if not all(isinstance(text, str) for text in (*texts, *facts, *facts.values())):
            raise InputError("Device, runtime and facts of the platform must be texts.")
        device, runtime, runtime_version = texts
        settings = RunSettings.from_json({k: v for k, v in fields.items() if k not in own})
        return cls(device, tuple(sorted(facts.items())), runtime, runtime_version, settings)

    @property
    def key(self) -> str:
        """A short hash of all of it."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: Conditions) -> list[str]:
        """What differs, in words such as `threads: 1 and 2`."""
        mine, theirs = self.to_json(), other.to_json()
        return [
            f"{name}: {mine.get(name)} and {theirs.get(name)}"
            for name in {**mine, **theirs}
            if mine.get(name) != theirs.get(name)
        ]

    def __str__(self) -> str:
        s = self.settings
        threads = f"{s.threads} thread{'s' * (s.threads > 1)}"
        words = [
            self.device,
            f"{self.runtime} {self.runtime_version} {s.precision}",
            threads,
            f"batch {s.batch}",
            f"length {s.sequence_length}",
        ]
        if s.affinity is not None:
            words.append(f"CPUs {','.join(map(str, s.affinity))}")
        if s.scenario != "hot-loop":
            words.append(s.scenario)
        if s.interval_seconds is not None:
            words.append(f"every {1e3 * s.interval_seconds:g} ms")
        if s.scenario == "throughput":
            words.append(f"{s.streams} streams")
        return ", ".join(words)


_HASH_CHARACTERS = 12
_TEXT = re.compile(rf"(.+)@([0-9a-f]{{{_HASH_CHARACTERS}}})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A user's own model, known by its content; its text form is `NAME@HASH`.

    Attributes:
        name: Of the file, without its folder.
        sha256: First characters of the hash of its content, which comprises weights that it keeps
            in other files.
        path: Where it lies now; None where a database tells of it.
        size_bytes: Of all its files; zero where a database tells of it.
        precision: In which it computes its products; `fp32` where a database tells of it.
    """

    name: str
    sha256: str
    path: Path | None = field(default=None, compare=False)
    size_bytes: int = field(default=0, compare=False)
    precision: str = field(default="fp32", compare=False)

    @classmethod
    def of(cls, path: Path) -> ModelFile:
        """Describe a file.

        Raises:
            BadFile: It or a file that belongs to it is missing or cannot be read.
        """
        try:
            artefact = describe_model(path)
        except OSError as error:
            raise BadFile(
                f"Cannot read the model {path} ({error.strerror}): check the path."
            ) from error
        name, sha256 = given_text(path.name), artefact.sha256[:_HASH_CHARACTERS]
        return cls(name, sha256, path, artefact.size_bytes, precision_of(path))

    def __str__(self) -> str:
        return f"{self.name}@{self.sha256}"


#: Whatever a campaign can time.
Subject = Architecture | ModelFile


def parse_subject(text: str) -> Subject:
    """The reverse of `str(subject)`.

    Raises:
        BadArchitecture: It is neither `NAME@HASH` nor an architecture.
    """
    match = _TEXT.fullmatch(text)
    return Architecture.parse(text) if match is None else ModelFile(match[1], match[2])


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
    return json.dumps(to_plain(block), separators=(",", ":"))


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
