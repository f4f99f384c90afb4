"""Durations, percentages and windows as people write them."""

from __future__ import annotations

import pytest

from atb.errors import InputError
from atb.units import (
    format_duration,
    parse_amount,
    parse_duration,
    parse_percent,
    parse_window,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10ms", 0.01), ("1.5 s", 1.5), (" 10min ", 600), ("2H", 7200), (".5s", 0.5), ("1e2ms", 0.1)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["10", "-1ms", "0s", "", "ms", "ten ms", "10 parsecs", "1e999s"])
def test_a_duration_without_unit_or_above_no_zero_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_duration(text)


def test_a_percentage_is_read_as_a_share() -> None:
    assert parse_percent("1%") == pytest.approx(0.01)
    for text in ("1", "0%", "-3%", "101%", "%"):
        with pytest.raises(InputError):
            parse_percent(text)


def test_none_at_all_is_an_amount_only_where_it_may_be() -> None:
    assert [parse_amount(text, "B", or_none=True) for text in ("0", "0B", "0 GB")] == [0, 0, 0]
    assert parse_amount("2GB", "B", or_none=True) == 2e9
    for text in ("-1B", "2", "0 apples", "", "-0.5"):
        with pytest.raises(InputError):
            parse_amount(text, "B", or_none=True)
    for text in ("0", "0B"):
        with pytest.raises(InputError):
            parse_amount(text, "B")


def test_a_window_is_two_rising_fractions() -> None:
    assert parse_window("0.85, 1.10") == (0.85, 1.10)
    for text in ("0.85", "1,0.85", "0,1", "a,b", "1,1", "0.8,0.9,1", "85%,100%"):
        with pytest.raises(InputError):
            parse_window(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01234, "12.3 ms"), (0.5, "500 ms"), (3.21, "3.21 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_a_duration_is_shown_with_three_digits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
