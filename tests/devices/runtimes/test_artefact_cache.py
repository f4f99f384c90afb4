"""What was built is found again, whole or not at all; what is used least recently goes."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from atb.devices.contract import Artefact, LaunchFailure
from atb.devices.runtimes import artefacts
from atb.devices.runtimes.artefacts import (
    ArtefactCache,
    CachedRuntime,
    default_folder,
    describe_artefact,
    worth_keeping,
)
from atb.devices.runtimes.torch.cpu import TorchCompiled
from atb.devices.settings import RunSettings
from atb.models.architecture import Architecture

ROOT = Path(__file__).resolve().parents[3]
SIZE = 1000
SHAPES = [Architecture(layers, 20, 2, 12, 28) for layers in range(1, 6)]
SETTINGS = RunSettings(sequence_length=8)


class Builder:
    """Counts what it builds: as many bytes as it is told, which are the architecture's."""

    name = "builder"
    version = "1"
    precisions = ("fp32", "int8")

    def __init__(self) -> None:
        self.built = 0

    def build(self, architecture: Architecture, settings: RunSettings, folder: Path) -> Artefact:
        self.built += 1
        path = folder / f"{architecture}.{settings.precision}.model"
        try:
            path.write_bytes(str(path.name).encode().ljust(SIZE, b"."))
        except OSError as error:
            raise LaunchFailure("build-error", str(error)) from error
        return describe_artefact(path)


class Place:
    """A cache in a folder of its own, and a builder whose artefacts are always kept."""

    def __init__(self, folder: Path, limit_bytes: int = 100 * SIZE) -> None:
        self.folder = folder / "cache"
        self.target = folder / "built"
        self.target.mkdir(exist_ok=True)
        self.told: list[str] = []
        self.builder = Builder()
        self.limit_to(limit_bytes)

    def limit_to(self, limit_bytes: int) -> None:
        cache = ArtefactCache(self.folder, limit_bytes, self.told.append)
        self.runtime = CachedRuntime(self.builder, cache, worth=lambda seconds, size: True)

    def build(self, architecture: Architecture = SHAPES[0], settings=SETTINGS) -> Artefact:
        return self.runtime.build(architecture, settings, self.target)

    def builds(self, architecture: Architecture = SHAPES[0], settings=SETTINGS) -> int:
        """How many builds it takes to get it."""
        before = self.builder.built
        self.build(architecture, settings)
        return self.builder.built - before

    @property
    def entries(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_was_built_is_not_built_again(place: Place, tmp_path: Path) -> None:
    first = place.build()
    first.path.unlink()
    assert place.builds() == 0
    assert place.build() == first == describe_artefact(first.path)
    assert set(place.target.iterdir()) == {first.path}
    assert Place(tmp_path).builds() == 0  # nor in another process


def test_it_speaks_for_the_runtime_that_builds(place: Place) -> None:
    runtime, builder = place.runtime, place.builder
    assert (runtime.name, runtime.version) == (builder.name, builder.version)
    assert runtime.precisions == builder.precisions
    assert runtime.load_patience_seconds == 0
    cache = ArtefactCache(place.folder, SIZE, place.told.append)
    assert CachedRuntime(TorchCompiled(), cache).load_patience_seconds > 0


def test_an_entry_tells_the_hash_of_its_content(place: Place) -> None:
    artefact = place.build()
    (entry,) = place.entries
    assert artefact.sha256 in entry.name
    assert hashlib.sha256(entry.read_bytes()).hexdigest() == artefact.sha256


def test_architectures_and_settings_of_the_build_are_kept_apart(place: Place) -> None:
    place.build()
    assert place.builds(SHAPES[1]) == 1
    for changed in ({"precision": "int8"}, {"batch": 2}, {"sequence_length": 16}):
        assert place.builds(settings=replace(SETTINGS, **changed)) == 1


def test_settings_of_the_run_build_nothing_anew(place: Place) -> None:
    place.build()
    for changed in (
        {"threads": 2},
        {"affinity": (0,)},
        {"scenario": "fixed-rate", "interval_seconds": 1.0},
        {"scenario": "throughput", "streams": 2},
    ):
        assert place.builds(settings=replace(SETTINGS, **changed)) == 0


def test_the_least_recently_used_goes(place: Place) -> None:
    place.limit_to(3 * SIZE)
    for shape in SHAPES[:3]:
        assert place.builds(shape) == 1
    assert place.builds(SHAPES[0]) == 0  # so that the second is used least recently
    assert place.builds(SHAPES[3]) == 1
    assert len(place.entries) == 3
    assert [place.builds(shape) for shape in (SHAPES[0], SHAPES[2], SHAPES[3])] == [0, 0, 0]
    assert place.builds(SHAPES[1]) == 1


def test_all_entries_together_stay_below_the_limit(place: Place) -> None:
    place.limit_to(int(2.5 * SIZE))
    for shape in SHAPES:
        place.build(shape)
        assert sum(entry.stat().st_size for entry in place.entries) <= 2.5 * SIZE
    assert len(place.entries) == 2


def test_a_lower_limit_holds_from_the_next_use_on(place: Place) -> None:
    for shape in SHAPES:
        place.build(shape)
    place.limit_to(2 * SIZE)
    assert place.builds(SHAPES[0]) == 0
    assert len(place.entries) == 2
    assert place.builds(SHAPES[0]) == 0


def test_what_is_larger_than_the_limit_is_not_kept_and_pushes_nothing_out(place: Place) -> None:
    place.build()
    place.limit_to(SIZE - 1)
    place.build(SHAPES[1])
    assert len(place.entries) == 1
    assert place.told == []


@pytest.mark.parametrize("damage", [b"", b"another model of another length", b"!" * SIZE])
def test_a_damaged_entry_is_built_again(place: Place, damage: bytes) -> None:
    artefact = place.build()
    (entry,) = place.entries
    entry.write_bytes(damage)
    assert place.builds() == 1
    assert describe_artefact(artefact.path) == artefact
    assert place.builds() == 0


def test_who_writes_into_an_artefact_does_not_write_into_the_cache(place: Place) -> None:
    artefact = place.build()
    for _ in range(2):  # as it was built, and as it was kept
        artefact.path.write_bytes(b"no model")
        assert place.builds() == 0
        assert describe_artefact(artefact.path) == artefact


def test_files_of_others_are_left_alone(place: Place) -> None:
    place.build()
    (entry,) = place.entries
    others = [place.folder / name for name in ("thesis.tex", f"my-{entry.name}", ".hidden")]
    for path in others:
        path.write_bytes(b"." * 10 * SIZE)
        os.utime(path, (0, 0))
    place.limit_to(2 * SIZE)
    for shape in SHAPES:
        place.build(shape)
    assert all(path.exists() for path in others)
    assert len(place.entries) == len(others) + 2


def test_a_folder_that_cannot_be_written_costs_nothing_but_a_word(place: Place) -> None:
    place.folder.write_text("a file")
    assert [place.builds(shape) for shape in SHAPES[:2]] == [1, 1]
    (told,) = place.told
    assert str(place.folder) in told
    assert "Not a directory" in told or "File exists" in told
    assert "ATB_CACHE" in told


def test_a_full_disk_costs_nothing_but_a_word(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> str:
        target.write_bytes(b"as much as there was room for")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(artefacts, "_copy", full)
    assert [place.builds(shape) for shape in SHAPES[:2]] == [1, 1]
    assert place.entries == []
    assert len(place.told) == 1
    assert "No space left" in place.told[0]


def test_a_folder_that_can_only_be_read_is_still_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.build()

    def refuse(*words: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "utime", refuse)
    assert place.builds() == 0
    assert place.told == []


def test_an_entry_that_cannot_be_handed_out_is_built_and_told_by_its_builder(
    place: Place, tmp_path: Path
) -> None:
    place.build()
    (tmp_path / "file").touch()
    with pytest.raises(LaunchFailure) as caught:
        place.runtime.build(SHAPES[0], SETTINGS, tmp_path / "file")
    assert caught.value.cause == "build-error"
    assert len(place.entries) == 1


def test_what_others_evict_meanwhile_is_not_missed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shape in SHAPES[:3]:
        place.build(shape)
    stat = Path.stat

    def evicted(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.parent == place.folder and str(SHAPES[1]) in path.name:
            path.unlink(missing_ok=True)
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", evicted)
    assert place.builds(SHAPES[3]) == 1
    assert len(place.entries) == 3
    assert place.told == []


_RACER = """
import sys
from pathlib import Path
from atb.devices.runtimes.artefacts import ArtefactCache
from atb.devices.runtimes.artefacts import describe_artefact
from atb.devices.contract import Artefact

folder, own, rounds, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
cache = ArtefactCache(folder, 3 * size, sys.exit)
print("ready", flush=True)
for number in range(rounds):
    key = f"{number % 5:032x}"
    content = f"{number % 5}".encode() * size
    path = own / "model"
    path.unlink(missing_ok=True)
    found = cache.fetch(key, own)
    if found is None:
        path.write_bytes(content)
        cache.keep(key, describe_artefact(path))
    assert path.read_bytes() == content
"""


def start_racer(place: Place, number: int, rounds: int, size: int) -> subprocess.Popen[str]:
    own = place.folder.with_name(f"own-{number}")
    own.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", _RACER, str(place.folder), str(own), str(rounds), str(size)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_share_the_folder(place: Place) -> None:
    racers = [start_racer(place, number, rounds=200, size=20_000) for number in range(3)]
    for racer in racers:
        _, errors = racer.communicate(timeout=120)
        assert racer.returncode == 0, errors
    assert place.entries
    assert not [entry for entry in place.entries if entry.name.startswith(".")]
    for entry in place.entries:
        assert hashlib.sha256(entry.read_bytes()).hexdigest() in entry.name


@pytest.mark.slow
def test_kills_leave_nothing_that_breaks_or_stays(place: Place) -> None:
    for number in range(8):
        racer = start_racer(place, number, rounds=1_000_000, size=3_000_000)
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
        time.sleep(0.01 * (number + 1))
        racer.send_signal(signal.SIGKILL)
        racer.communicate(timeout=60)
        assert racer.returncode == -signal.SIGKILL
    whole = [entry for entry in place.entries if not entry.name.startswith(".")]
    for entry in whole:
        assert hashlib.sha256(entry.read_bytes()).hexdigest() in entry.name
    # and what was being written, as it lies there when another process was killed just then
    unfinished = place.folder / f".{'0' * 32}-{'0' * 64}-model.abcdefgh"
    unfinished.write_bytes(b"half a mod")
    place.build()
    assert unfinished.exists()  # it may still be written
    for entry in place.entries:
        if entry.name.startswith("."):
            os.utime(entry, (0, 0))
    place.build(SHAPES[1])
    assert not [entry for entry in place.entries if entry.name.startswith(".")]
    assert place.builds(SHAPES[1]) == 0


@pytest.mark.parametrize(
    ("seconds", "size", "kept"),
    [
        (30.0, 57_000_000, True),  # lowered for ExecuTorch
        (1.0, 10_000_000, True),  # quantised
        (0.1, 20_000_000, False),  # a graph that is only written
        (2.0, 340_000_000, False),  # the same of bert-base
        (0.001, 200, False),  # less than the file is worth
    ],
)
def test_what_is_written_in_a_moment_is_not_worth_its_place(
    seconds: float, size: int, kept: bool
) -> None:
    assert worth_keeping(seconds, size) is kept


def test_only_what_is_worth_it_is_kept(place: Place) -> None:
    asked = []

    def judge(seconds: float, size: int) -> bool:
        asked.append((seconds, size))
        return False

    cache = ArtefactCache(place.folder, 100 * SIZE, place.told.append)
    place.runtime = CachedRuntime(place.builder, cache, worth=judge)
    assert [place.builds(), place.builds()] == [1, 1]
    assert [size for _, size in asked] == [SIZE, SIZE]
    assert min(seconds for seconds, _ in asked) > 0
    assert not place.folder.exists()


def test_the_folder_is_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("ATB_CACHE", "/mine")
    assert default_folder() == Path("/mine")
    monkeypatch.delenv("ATB_CACHE")
    assert default_folder() == tmp_path / ".cache/autotinybert/artefacts"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative, which the specification ignores")
    assert default_folder() == tmp_path / ".cache/autotinybert/artefacts"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_folder() == Path("/caches/autotinybert/artefacts")


def test_a_user_without_a_home_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ATB_CACHE")
    assert default_folder() is None
