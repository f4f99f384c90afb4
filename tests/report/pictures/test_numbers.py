from __future__ import annotations

import math

import pytest

from atb.report.pictures.numbers import count, digits, many, milliseconds, percent, size, times


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0.0, "0"),
        (0.012345, "0.0123"),
        (1.0, "1.00"),
        (9.996, "10.0"),
        (99.96, "100"),
        (-2.5, "\N{MINUS SIGN}2.50"),
        (1234.5, "1,234"),
        (999.7, "1,000"),
        (math.nan, "—"),
    ],
)
def test_three_digits_are_shown_and_whole_numbers_keep_theirs(number: float, shown: str) -> None:
    assert digits(number) == shown


def test_units_stand_beside_their_numbers() -> None:
    shown = [
        milliseconds(0.0058123),
        milliseconds(0.0058123, unit=False),
        percent(-0.0312, signed=True),
        percent(0.0312, signed=True),
        percent(-0.0001, signed=True),
        count(13_100_000),
        count(11_170_000_000),
        count(512),
        size(3_580_000),
        times(47.63),
        times(2.7),
        many(1, "failure"),
        many(3600, "failure"),
    ]
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in shown] == [
        "5.81 ms",
        "5.81",
        "\N{MINUS SIGN}3.1 %",
        "+3.1 %",
        "0.0 %",
        "13.1 million",
        "11.2 billion",
        "512",
        "3.58 MB",
        "47.6 \N{MULTIPLICATION SIGN}",
        "2.7 \N{MULTIPLICATION SIGN}",
        "1 failure",
        "3,600 failures",
    ]
