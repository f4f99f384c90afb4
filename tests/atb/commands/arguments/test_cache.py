"""`--cache`: what took long to build is kept from one command to the next."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from atb.commands.arguments.target import find_target, open_cache
from atb.devices.runtimes import artefacts
from atb.devices.runtimes.onnxruntime.cpu import OnnxRuntimeCpu

SHAPE = "L1-H128-A2-Q128-F512"


@pytest.fixture
def everything_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However quickly this machine builds it."""
    monkeypatch.setattr(artefacts, "worth_keeping", lambda seconds, size: True)


def kept() -> list[Path]:
    folder = Path(os.environ["ATB_CACHE"])
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("size", ["2", "-2GB", "2 GHz", "much"])
def test_what_is_no_size_is_refused(atb_here, size: str, tmp_path: Path) -> None:
    done = atb_here("profile", "fake", "--arch", SHAPE, f"--cache={size}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert repr(size) in done.stderr
    assert not (tmp_path / "atb-runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("compare", SHAPE, SHAPE),
        ("search", "--latency", "9ms"),
        ("quickstart",),
        ("predictor", "transfer", "--predictor", "known.json"),
    ],
)
def test_every_command_that_builds_takes_it(atb_here, words, tmp_path: Path) -> None:
    done = atb_here(*words, "--device", "fake", "--cache", "much")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "atb: 'much' is not an amount in B: write it like 10MB."
    assert not (tmp_path / "atb-runs").exists()


def test_it_may_be_as_small_as_none(atb_here) -> None:
    for size in ("0", "0B", "0GB"):
        assert open_cache(size) is None
        done = atb_here("profile", "fake", "--arch", SHAPE, "--cache", size, "--json")
        assert done.returncode == 0, done.stderr
    assert kept() == []


@pytest.mark.usefixtures("everything_is_kept")
def test_every_target_builds_by_way_of_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from atb.commands.arguments.sweep import SweepOptions
    from atb.devices.registry import find_device
    from atb.devices.settings import RunSettings
    from atb.models.architecture import Architecture

    cache = open_cache("2GB")
    architecture = Architecture.parse(SHAPE)
    target = find_target("local", None, RunSettings(sequence_length=8), cache)
    first = target.runtime.build(architecture, target.settings, tmp_path)
    assert len(kept()) == 1
    monkeypatch.setattr(OnnxRuntimeCpu, "build", None)  # built again, it would fail
    (other,) = SweepOptions(sequence_length="8").targets(find_device("local"), cache)
    assert other.runtime.build(architecture, other.settings, tmp_path) == first


@pytest.mark.slow
@pytest.mark.usefixtures("everything_is_kept")
def test_a_campaign_finds_what_another_one_built(atb_here) -> None:
    words = ("profile", "local", "--arch", SHAPE, "--precision", "int8", "--json")
    done = atb_here(*words, "--cache", "200MB")
    assert done.returncode == 0, done.stderr
    before = {path: path.stat().st_mtime_ns for path in kept()}
    assert any(SHAPE in path.name and "int8" in path.name for path in before)
    again = atb_here(*words, "--cache", "200MB", "--new-campaign")
    assert again.returncode == 0, again.stderr
    after = {path: path.stat().st_mtime_ns for path in kept()}
    assert after.keys() == before.keys()
    assert all(after[path] > used for path, used in before.items() if SHAPE in path.name)
    (one,), (other,) = (json.loads(text.stdout)["measurements"] for text in (done, again))
    assert one["conditions"] == other["conditions"]


@pytest.mark.slow
@pytest.mark.usefixtures("everything_is_kept")
def test_a_full_cache_fails_no_campaign(atb_here, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATB_CACHE", str(tmp_path / "file"))
    done = atb_here("profile", "local", "--arch", SHAPE, "--precision", "int8", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is not kept in") == 1
