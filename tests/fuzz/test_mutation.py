"""The fuzz tests' own machinery: it damages files, and tells what a reader did wrong."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import mutation
import numpy as np
import pytest
from mutation import Reader, check_reader, is_a_sentence, mutated, outcomes

from atb.errors import BadFile

SAMPLES = {"sample.json": json.dumps([1, 2.5, {"rows": [3, 4]}]).encode()}


def sentence(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadFile("This is no JSON: repair it.") from error


def test_mutations_are_many_kinds_and_the_same_every_time() -> None:
    data = SAMPLES["sample.json"]
    found = [mutated(data, np.random.default_rng([5, number])) for number in range(200)]
    again = [mutated(data, np.random.default_rng([5, number])) for number in range(200)]
    assert found == again
    assert len(set(found)) > 150
    assert max(map(len, found)) < 1_000_000
    assert mutated(b"", np.random.default_rng(0)) is not None


def test_a_reader_that_says_a_sentence_passes(tmp_path: Path) -> None:
    check_reader(Reader("json", SAMPLES, sentence, mutations=100), tmp_path / "files")


def warn(path: Path) -> None:
    warnings.warn(f"{path} is odd", UserWarning, stacklevel=1)


def lines(path: Path) -> None:
    raise BadFile("first\nsecond.")


@pytest.mark.parametrize("read", [lambda path: json.loads(path.read_bytes()), warn, lines])
def test_tracebacks_warnings_and_more_than_a_sentence_are_found(tmp_path: Path, read) -> None:
    with pytest.raises(AssertionError, match="went wrong"):
        check_reader(Reader("bad", SAMPLES, read, mutations=30), tmp_path / "files")


def test_a_reader_that_never_ends_is_found(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(mutation, "_PATIENCE_SECONDS", 1)
    slow = Reader("slow", SAMPLES, lambda _: time.sleep(600), mutations=1)
    (said,) = outcomes(slow, tmp_path / "files")
    assert said is not None
    assert "did not end" in said


def test_files_that_belong_together_lie_together(tmp_path: Path) -> None:
    seen = []
    two = Reader(
        "folder",
        {"a/one.json": b"1", "two.json": b"2"},
        lambda path: seen.append(sorted(p.name for p in (tmp_path / "files").rglob("*.json"))),
        mutations=6,
    )
    check_reader(two, tmp_path / "files")
    assert seen == [["one.json", "two.json"]] * 6


@pytest.mark.parametrize(
    "text", ["No stop", "Two\nlines.", "A \x1b[31mcolour.", "Half \ud800.", "x" * 2000 + "."]
)
def test_what_is_no_sentence(text: str) -> None:
    assert not is_a_sentence(text)
    assert is_a_sentence("Row 3 is bad: repair it.")
