"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEFECTS = (ROOT / "docs" / "reference_defects.md").read_text("utf-8")


def test_every_defect_of_the_reference_has_its_row() -> None:
    numbers = re.findall(r"^\| (\d+b?) \|", DEFECTS, re.MULTILINE)
    assert numbers == [*map(str, range(1, 9)), "8b", *map(str, range(9, 18))]


def test_the_tests_named_for_them_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", DEFECTS)
    assert len(named) > 18
    for file, name in named:
        text = (ROOT / file).read_text("utf-8")
        assert not name or f"def {name}(" in text, (file, name)
