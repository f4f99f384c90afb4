"""Numbers as a person reads them: three digits, and the unit beside them."""

from __future__ import annotations

import math

_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"


def digits(number: float, significant: int = 3) -> str:
    """Significant digits without an exponent; whole numbers keep all of theirs."""
    if not math.isfinite(number):
        return "\N{EM DASH}"
    if number == 0:
        return "0"
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(number))))
    rounded = round(number, decimals)
    # rounding 9.996 gains a digit before the point, which costs one behind it
    decimals = significant - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, decimals)}f}".replace("-", _MINUS)


def milliseconds(seconds: float, *, unit: bool = True) -> str:
    """A time in milliseconds."""
    return digits(seconds * 1e3) + (f"{_SPACE}ms" if unit else "")


def percent(share: float, *, signed: bool = False) -> str:
    """A share as a percentage with one decimal."""
    if not math.isfinite(share):
        return "\N{EM DASH}"
    rounded = round(100 * share, 1) or 0.0  # no negative zero
    return f"{rounded:{'+' if signed and rounded else ''}.1f}{_SPACE}%".replace("-", _MINUS)


def count(number: float) -> str:
    """A large count in thousands, millions or billions."""
    for factor, word in ((1e9, "billion"), (1e6, "million")):
        if abs(number) >= factor:
            return f"{digits(number / factor)}{_SPACE}{word}"
    return f"{number:,.0f}"


def size(bytes_: float) -> str:
    """A file's size."""
    for factor, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if bytes_ >= factor:
            return f"{digits(bytes_ / factor)}{_SPACE}{word}"
    return f"{bytes_:.0f}{_SPACE}bytes"


def times(factor: float) -> str:
    """A speed-up."""
    return f"{digits(factor, 2 if factor < 10 else 3)}{_SPACE}\N{MULTIPLICATION SIGN}"


def many(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
