"""Dataclasses as plain values of JSON, and back, checked by their types (msgspec).

Formats of files are the fields of frozen dataclasses. What is read back must have every field
without a default, of exactly its type; an unknown field is ignored, so that what newer versions add
hinders no older one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Turn a dataclass, and all in it, into dicts, lists, tuples, texts and numbers.

    Arrays and numbers of NumPy become lists and Python's numbers, paths become texts.
    """
    import msgspec

    return msgspec.to_builtins(value, enc_hook=_to_builtin)


def from_plain(kind: type[T], fields: Any, *, strict: bool = True) -> T:
    """Make a dataclass of plain values.

    Args:
        kind: The dataclass, or another type such as `tuple[Point, ...]`.
        fields: What `to_plain` made.
        strict: Whether a text that looks like a number is refused.

    Raises:
        ValueError: A field is missing or has another type; the text names it: "Expected `int`, got
            `str` - at `$.layers`".
    """
    import msgspec

    return msgspec.convert(fields, kind, strict=strict, dec_hook=_from_builtin)


def _to_builtin(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} has no plain form")


def _from_builtin(kind: type, value: Any) -> Any:
    if issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(f"{kind.__name__} has no plain form")
