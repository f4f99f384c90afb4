"""Files of GLUE and SQuAD that arrive damaged are read, or refused in a sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from mutation import Reader, check_reader
from task_files import LAYOUTS, write_glue, write_squad

from atb.data.tasks.glue import GLUE
from atb.data.tasks.questions import place_of
from atb.data.tasks.squad import SQUAD


def _read_glue(path: Path) -> None:
    """The file lies in a folder with the name of its task."""
    task = GLUE[path.parent.name]
    found = task.read(str(path.parent), path.stem)
    assert len(found) > 0
    assert bool(found.skipped) <= bool(found.remarks)
    for row in found.rows:
        assert isinstance(row["first"], str)
        assert isinstance(row.get("second", ""), str)
        if path.stem in task.test_splits:
            continue
        assert row["label"] in (range(len(task.labels)) if task.labels else [row["label"]])
        assert math.isfinite(row["label"])
        assert 0 <= row["label"] <= 5


def _read_squad(path: Path) -> None:
    """Of training questions, the first answer stands where it says."""
    task = SQUAD["squad1" if "v1.1" in path.name else "squad2"]
    split = path.name.split("-")[0]
    found = task.read(str(path.parent), split)
    assert len(found) > 0
    for row in found.rows if split == "train" else ():
        assert row["answers"] or task.can_be_unanswerable
        for answer in row["answers"][:1]:
            end = answer["start"] + len(answer["text"])
            assert place_of(row["context"], answer["text"], answer["start"]) == (
                answer["start"],
                end,
            )
            assert row["context"][answer["start"] : end].lower() == answer["text"].lower()


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.slow
def test_a_damaged_file_of_glue_is_read_or_refused(tmp_path: Path) -> None:
    samples = {}
    for name in LAYOUTS:
        samples |= _contents(write_glue(tmp_path / name, name))
    reader = Reader("glue", samples, _read_glue, mutations=600)
    check_reader(reader, tmp_path / "files")


@pytest.mark.slow
def test_a_damaged_file_of_squad_is_read_or_refused(tmp_path: Path) -> None:
    samples = {}
    for version in ("1.1", "2.0"):
        folder = write_squad(tmp_path / f"squad{version}", version=version, rows=6)
        samples |= _contents(folder)
    reader = Reader("squad", samples, _read_squad, mutations=600)
    check_reader(reader, tmp_path / "files")
