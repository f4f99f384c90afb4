"""Files are written whole or not at all, and a foreign one is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from atb.errors import BadFile, InputError
from atb.files import atomic_path, prepare_output, read_document, write_document


def test_a_document_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "thing.json"
    write_document(path, {"values": [1, 2.5]}, kind="thing", format=3)
    assert read_document(path, kind="thing", format=3)["values"] == [1, 2.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"format": 1, "kind": "thi', "truncated"),
        ('{"format": 1, "kind": "other"}', "not a thing file"),
        ("[1, 2]", "not a thing file"),
        ('{"format": 2, "kind": "thing"}', "has format 2"),
    ],
)
def test_a_bad_document_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "thing.json"
    path.write_text(text)
    with pytest.raises(BadFile, match=told):
        read_document(path, kind="thing", format=1)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["thing.json"]


def test_an_unwritable_place_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        prepare_output(tmp_path / "file" / "below.json")
    with pytest.raises(InputError, match="is a folder"):
        prepare_output(tmp_path)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_of_the_umask_whoever_wrote_it(
    tmp_path: Path, mask: int, mode: int
) -> None:
    path, foreign = tmp_path / "thing.json", tmp_path / "foreign"
    foreign.touch(mode=0o600)
    before = os.umask(mask)
    try:
        write_document(path, {}, kind="thing", format=1)
        with atomic_path(tmp_path / "moved.bin") as temporary:
            foreign.replace(temporary)
    finally:
        os.umask(before)
    for made in (path, tmp_path / "moved.bin"):
        assert stat.S_IMODE(made.stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "thing.json"
    path.write_text("old")
    path.chmod(mode)
    write_document(path, {}, kind="thing", format=1)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert read_document(path, kind="thing", format=1)
