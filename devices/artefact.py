"""Describe a file that a runtime serves."""

from __future__ import annotations

import hashlib
from pathlib import Path

from atb.devices.contract import Artefact

__all__ = ["describe_artefact"]


def describe_artefact(path: Path) -> Artefact:
    """Hash and measure a file; a user's own model becomes an artefact this way too."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Artefact(path=path, sha256=digest, size_bytes=path.stat().st_size)
