"""Amounts as people write them: durations, shares, windows. The one place that parses them."""

from __future__ import annotations

import math
import re

from atb.errors import InputError

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
#: A slip of the keyboard, not a time that somebody waits.
_LONGEST_SECONDS = 366 * 86_400.0
_PREFIXES = {"u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_AMOUNT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([^\d\s.]*)", re.IGNORECASE)


def _amount(text: str) -> tuple[float, str] | None:
    """Number and unit of `text`, or None when it is something else."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match[1])):
        return None
    return float(match[1]), match[2]


def parse_duration(text: str) -> float:
    """Turn `10ms`, `1.5 s`, `10min` or `2h` into seconds.

    Raises:
        InputError: The unit is missing or unknown, or the amount is not above zero, or is more than
            a year.
    """
    amount = _amount(text)
    if amount is None:
        raise InputError(f"{text!r} is not a duration: write it like 10ms, 1.5s, 10min or 2h.")
    number, unit = amount
    if not unit:
        raise InputError(f"The duration {text!r} has no unit: write {text.strip()}ms or another.")
    if unit.lower() not in _SECONDS:
        raise InputError(
            f"The duration {text!r} has an unknown unit {unit!r}: use ms, s, min or h."
        )
    if number <= 0:
        raise InputError(f"The duration {text!r} is not above zero: give a positive amount.")
    seconds = number * _SECONDS[unit.lower()]
    if seconds > _LONGEST_SECONDS:
        raise InputError(f"The duration {text!r} is longer than a year: give a shorter one.")
    return seconds


def parse_amount(text: str, unit: str, *, or_none: bool = False) -> float:
    """Turn `10M`, `20MB`, `64MiB` or `30mJ` into a number of the plain unit.

    Args:
        text: With a prefix from u to G, or Ki, Mi, Gi.
        unit: What it must end with; empty for a mere number.
        or_none: Whether zero, which needs no unit, is an amount too.

    Raises:
        InputError: It ends with another unit, or the amount is not above zero.
    """
    example = f"10M{unit}" if unit != "J" else "30mJ"
    amount = _amount(text)
    prefix = None if amount is None or not amount[1].endswith(unit) else amount[1]
    if prefix is not None and unit:
        prefix = prefix.removesuffix(unit)
    factor = {**_PREFIXES, **_BINARY}.get(prefix) if prefix is not None else None
    if or_none and amount == (0.0, ""):
        return 0.0
    if amount is None or factor is None:
        wanted = f"an amount in {unit}" if unit else "a number"
        raise InputError(f"{text!r} is not {wanted}: write it like {example}.")
    if amount[0] < 0 or (amount[0] == 0 and not or_none):
        wanted = "is below zero" if or_none else "is not above zero"
        raise InputError(f"The amount {text!r} {wanted}: give a positive one.")
    return amount[0] * factor


def format_amount(amount: float, unit: str) -> str:
    """Show an amount with three digits and the prefix that suits it, such as 20.4 MB or 9.1M."""
    fitting = [p for p in ("u", "m", "", "k", "M", "G") if abs(amount) >= _PREFIXES[p]]
    prefix = fitting[-1] if fitting else ""
    return f"{_digits(amount / _PREFIXES[prefix])}{' ' if unit else ''}{prefix}{unit}"


def parse_percent(text: str) -> float:
    """Turn `1%` into the share 0.01.

    Raises:
        InputError: The percent sign is missing, or the share is not above 0 % and at most 100 %.
    """
    amount = _amount(text)
    if amount is None or amount[1] != "%":
        raise InputError(f"{text!r} is not a percentage: write it like 1%.")
    if not 0 < amount[0] <= 100:
        raise InputError(f"The percentage {text!r} is out of range: give one above 0% up to 100%.")
    return amount[0] / 100


def parse_window(text: str) -> tuple[float, float]:
    """Turn `0.85,1.00` into two fractions of a limit.

    Raises:
        InputError: It is not two positive numbers, the smaller one first.
    """
    amounts = [_amount(part) for part in text.split(",")]
    numbers = [amount[0] for amount in amounts if amount is not None and not amount[1]]
    if len(amounts) != 2 or len(numbers) != 2 or not 0 < numbers[0] < numbers[1]:
        raise InputError(
            f"{text!r} is not a window: write two rising fractions of the limit, like 0.85,1.00."
        )
    return numbers[0], numbers[1]


def format_duration(seconds: float) -> str:
    """Show a duration with three digits in the unit that suits it; milliseconds below a second."""
    size = abs(seconds)
    if size < 1:
        return f"{_digits(seconds * 1e3)} ms"
    if size < 120:
        return f"{_digits(seconds)} s"
    if size < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _digits(number: float) -> str:
    """Three significant digits without an exponent, whole numbers from 100 on."""
    if number == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:.{decimals}f}"
