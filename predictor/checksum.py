"""The checksum of a predictor's document, which shows when its content was changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import atb
from atb.errors import BadFile

LATENCY_PREDICTOR = "latency-predictor"
PREDICTOR_FORMAT = 1

_Made = TypeVar("_Made")


def with_checksum(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with the version that wrote them and the checksum of all."""
    content = {"atb_version": atb.__version__, **fields}
    return {"sha256": checksum_of(content), **content}


def checksum_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of content without its envelope (format, kind and checksum)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_checksummed(
    document: Mapping[str, Any],
    source: str,
    make: Callable[[Mapping[str, Any]], _Made],
    *,
    remedy: str,
) -> _Made:
    """Make something of content whose checksum is right.

    Args:
        document: Plain values whose kind and format were checked.
        source: Where it was found, for the message.
        make: Makes the result from the content.
        remedy: What to do about a bad one, for the message.

    Raises:
        BadFile: It was changed, or `make` cannot use it.
    """
    envelope = ("format", "kind", "sha256")
    content = {name: value for name, value in document.items() if name not in envelope}
    if document.get("sha256") != checksum_of(content):
        raise BadFile(
            f"{source} was changed after it was written (its content does not match its hash): "
            f"{remedy}."
        )
    try:
        return make(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadFile(
            f"{source} does not hold a usable predictor ({str(error).rstrip('.')}): {remedy}."
        ) from error
