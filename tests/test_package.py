"""What is built and installed works in an empty folder, without the clone."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import atb

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert project["version"] == atb.__version__
    assert f"\nversion: {atb.__version__}\n" in citation


def build(kind: str, source: Path, out: Path) -> Path:
    """Call the build backend as pip does, without its environment of its own."""
    program = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, capture_output=True, text=True, check=True
    )
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from an unpacked sdist of the tracked files."""
    folder = tmp_path_factory.mktemp("package")
    clone = folder / "clone"
    clone.mkdir()
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    subprocess.run(
        ["tar", "-cf", str(folder / "tracked.tar"), "--null", "-T", "-"],
        cwd=ROOT,
        input="\0".join(name for name in tracked if name and (ROOT / name).exists()),
        text=True,
        check=True,
    )
    with tarfile.open(folder / "tracked.tar") as tracked_files:
        tracked_files.extractall(clone, filter="data")
    with tarfile.open(build("sdist", clone, folder)) as sdist:
        sdist.extractall(folder / "sdist", filter="data")
    (unpacked,) = (folder / "sdist").iterdir()
    return build("wheel", unpacked, folder)


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    stages = {link.name for link in (ROOT / "atb").iterdir() if link.is_symlink()}
    wanted = {
        name if name.startswith("atb/") else f"atb/{name}"
        for name in tracked
        if name.split("/")[0] in stages | {"atb"} and not (ROOT / name).is_symlink()
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == wanted


@pytest.mark.slow
def test_it_works_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    def run(*words: str) -> str:
        program = (
            f"import sys; sys.path.insert(0, {str(installed)!r}); from atb.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, *words],
            cwd=empty,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "tinybert-4" in run("space", "list")
    run("profile", "fake", "--samples", "12", "--db", "p.db")
    run("predictor", "train", "--db", "p.db", "--out", "p.json")
    assert "ms" in run("predict", "tinybert-4", "--predictor", "p.json")
    run("model", "extract", "L1-H128-A4-Q128-F256", "--superplm", "mini", "--out", "model")
    run("report", "--db", "p.db", "--predictor", "p.json", "--out", "page.html")
    assert (empty / "page.html").stat().st_size > 10_000
