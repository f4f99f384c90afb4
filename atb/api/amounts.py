"""Amounts as users of the face write them: text with a unit, or a number in the plain unit.

A duration is `"6ms"` or 0.006 (seconds), a share is `"1%"` or 0.01; a setting of which several
values are measured is `1`, `"1,2"` or `[1, 2]`. All become the words of the command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload

Amount = str | float


@overload
def duration_words(duration: Amount) -> str: ...
@overload
def duration_words(duration: Amount | None) -> str | None: ...
def duration_words(duration: Amount | None) -> str | None:
    """A duration as text with its unit."""
    return duration if isinstance(duration, str | None) else f"{float(duration)!r}s"


@overload
def share_words(share: Amount) -> str: ...
@overload
def share_words(share: Amount | None) -> str | None: ...
def share_words(share: Amount | None) -> str | None:
    """A share as text with a percent sign."""
    return share if isinstance(share, str | None) else f"{100 * float(share):.12g}%"


def list_words(values: int | str | Iterable[float | str]) -> str:
    """One value or several as text with commas between them."""
    return str(values) if isinstance(values, int | str) else ",".join(map(str, values))
