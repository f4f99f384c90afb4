"""What a remote device says of itself, as it is kept from the day that it was added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atb.devices.worker import parse_clusters, parse_facts, parse_text

__all__ = ["RemoteFacts"]


@dataclass(frozen=True)
class RemoteFacts:
    """What a machine says of itself.

    Attributes:
        platform: Facts that identify its hardware.
        clusters: Groups of CPUs that are equally fast, the fastest first.
        usable_cpus: That the worker may be pinned to; None where the system cannot pin.
        versions: Of the libraries that are installed there, by runtime; of numpy too.
        python: Version of the Python that runs there.
    """

    platform: Mapping[str, str]
    clusters: tuple[tuple[int, ...], ...]
    usable_cpus: tuple[int, ...] | None
    versions: Mapping[str, str]
    python: str

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RemoteFacts:
        """From plain values of a device that is not trusted.

        Raises:
            ProtocolError: They are something else.
        """
        usable = fields.get("usable_cpus")
        return cls(
            parse_facts(fields.get("platform")),
            parse_clusters(fields.get("clusters")),
            None if usable is None else parse_clusters([usable])[0],
            parse_facts(fields.get("versions")),
            parse_text(fields.get("python"), "a version of Python", most=40),
        )
