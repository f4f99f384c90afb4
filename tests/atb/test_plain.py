from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from atb.plain import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class Point:
    name: str
    seconds: float
    shape: tuple[int, ...] = ()
    inner: Point | None = None


@dataclass(frozen=True, slots=True)
class Place:
    path: Path


def test_what_was_made_plain_comes_back_equal() -> None:
    point = Point("a", 0.1, (1, 2), Point("b", 3.0))
    plain = to_plain(point)
    assert plain == {
        "name": "a",
        "seconds": 0.1,
        "shape": (1, 2),
        "inner": {"name": "b", "seconds": 3.0, "shape": (), "inner": None},
    }
    assert from_plain(Point, plain) == point
    assert from_plain(tuple[Point, ...], [plain]) == (point,)
    assert from_plain(Place, to_plain(Place(Path("x/y")))) == Place(Path("x/y"))


def test_numbers_of_numpy_and_mappings_become_plain() -> None:
    found = to_plain({"a": np.float64(0.5), "b": np.arange(2), "c": MappingProxyType({"d": 1})})
    assert found == {"a": 0.5, "b": [0, 1], "c": {"d": 1}}
    assert type(found["a"]) is float


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="object has no plain form"):
        to_plain(object())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a"}, "missing required field `seconds`"),
        ({"name": 1, "seconds": 1.0}, r"got `int` - at `\$.name`"),
        ({"name": "a", "seconds": "1"}, r"got `str` - at `\$.seconds`"),
        ({"name": "a", "seconds": True}, r"got `bool` - at `\$.seconds`"),
        ({"name": "a", "seconds": 1, "shape": [1, 0.5]}, r"\$.shape\[1\]"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_what_is_of_another_type_is_named(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(Point, fields)


def test_unknown_fields_of_newer_versions_are_ignored() -> None:
    assert from_plain(Point, {"name": "a", "seconds": 1, "newer": 2}) == Point("a", 1.0)
