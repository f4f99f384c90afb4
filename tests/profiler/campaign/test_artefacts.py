"""Timing artefacts last as long as they are used, and no longer."""

import contextlib
import tempfile

import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.settings import RunSettings
from atb.files import release, take
from atb.models.space import SPACES
from atb.profiler.campaign.scheduler import ArtefactStore

SMALLEST = SPACES["mini"].smallest


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def store():
    return ArtefactStore(FakeDevice().runtimes["fake"], RunSettings())


def test_artefacts_are_gone_after_use(temporary):
    with store() as entered:
        path = entered.get(SMALLEST).path
        assert path.is_file()
        assert temporary in path.parents
    assert list(temporary.iterdir()) == []


def test_artefacts_of_a_killed_process_are_swept(temporary):
    """Who lives is told by locks: numbers of processes mean nothing in another container."""
    left, used = temporary / "atb-artefacts-left", temporary / "atb-artefacts-used"
    unknown = temporary / "atb-artefacts-1-x"  # without a lock, as an older version made them
    for folder in (left, used, unknown):
        folder.mkdir()
        (folder / "model.onnx").touch()
    (temporary / "atb-artefacts-left.lock").touch()
    lock = temporary / "atb-artefacts-used.lock"
    descriptor = take(lock)
    assert descriptor is not None
    with store():
        pass
    assert sorted(temporary.iterdir()) == [unknown, used, lock]
    release(lock, descriptor)


def test_artefacts_are_swept_by_nobody_while_they_are_used(temporary):
    with contextlib.ExitStack() as entered:
        found = [entered.enter_context(store()).get(SMALLEST).path for _ in range(3)]
        assert all(path.is_file() for path in found)
    assert list(temporary.iterdir()) == []


def test_a_folder_without_a_lock_serves_where_files_cannot_be_locked(temporary, monkeypatch):
    def fail(path):
        path.touch()
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("atb.profiler.campaign.scheduler.take", fail)
    with store() as entered:
        assert entered.get(SMALLEST).path.is_file()
    assert list(temporary.iterdir()) == []


def test_a_lock_in_a_folder_of_everybody_follows_no_link(temporary, tmp_path):
    (temporary / "atb-artefacts-trap.lock").symlink_to(tmp_path / "made")
    with store():
        pass
    assert not (tmp_path / "made").exists()
