"""Everything that a latency depends on beside the architecture; no number exists without it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atb.devices import Device, RunSettings, Runtime
from atb.errors import InputError

__all__ = ["Conditions"]


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
