"""The pages on how to add a runtime or a device are followed literally, outside the project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from openssh import OpenSsh
from remote_devices import remote_device

from atb.devices.local import LocalDevice
from atb.devices.registry import list_devices
from atb.devices.runtimes.artefact_key import artefact_key
from atb.devices.runtimes.reference import check_device
from atb.devices.runtimes.registry import all_runtimes, find_runtime
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.architecture import Architecture

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "how-to"


def blocks_of(page: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", (PAGES / page).read_text("utf-8"), re.M | re.S)


def install(page: str, folder: Path) -> None:
    """Write each block that begins with the name of a file, and what pip would write beside it."""
    for block in blocks_of(page):
        if named := re.match(r"# ([\w/.]+)\n", block):
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, "utf-8")
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    name = project["name"].replace("-", "_")
    (folder / name / "__init__.py").touch()
    info = folder / f"{name}-{project['version']}.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    groups = project["entry-points"].items()
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in groups
    ]
    info.joinpath("entry_points.txt").write_text("\n".join(lines), "utf-8")


def commands_of(page: str) -> list[list[str]]:
    lines = "".join(blocks_of(page)).splitlines()
    return [line.split()[1:] for line in lines if line.startswith("atb ")]


def run(folder: Path, *words: str) -> str:
    """A command in an environment where the package is installed; its output."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install("add-a-runtime.md", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("toy_runtime", "toy_runtime.runtime"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_runtime_of_another_package_is_one_of_this_machine(toy: Path) -> None:
    device = LocalDevice()
    runtime = find_runtime(device, "toy")
    assert list(device.runtimes)[-1] == "toy"
    assert ("local", "toy") in {(row.device, row.runtime) for row in list_devices()}
    settings = RunSettings(sequence_length=16, batch=2)
    result = check_device(device, runtime, settings)
    assert result.passed, result
    assert result.providers == ("numpy",)


def test_its_files_are_cached_under_a_key_of_all_its_code(toy: Path) -> None:
    def key() -> str:
        from atb.devices.runtimes import artefact_key as module

        module._code_fingerprint.cache_clear()
        return artefact_key(all_runtimes()["toy"], Architecture(1, 20, 2, 12, 28), RunSettings())

    before = key()
    assert key() == before
    with (toy / "toy_runtime" / "runner.py").open("a") as file:
        file.write("# changed\n")
    assert key() != before


def test_a_runtime_that_does_not_load_spoils_no_other(toy: Path) -> None:
    (toy / "toy_runtime" / "runtime.py").write_text("raise OSError('no licence')\n")
    assert "onnxruntime" in LocalDevice().runtimes
    notes = {row.runtime: row.note for row in list_devices() if row.device == "local"}
    assert "no licence" in notes["toy"]
    with pytest.raises(InputError, match="no licence"):
        find_runtime(LocalDevice(), "toy")


def test_a_runtime_of_another_package_does_not_replace_a_built_in_one(toy: Path) -> None:
    (entries,) = toy.glob("*.dist-info/entry_points.txt")
    entries.write_text(entries.read_text("utf-8").replace("toy =", "torch ="), "utf-8")
    assert "toy" not in all_runtimes()
    assert type(all_runtimes()["torch"]).__module__.startswith("atb.")


def test_it_is_served_by_a_remote_device(toy: Path, shared_openssh: OpenSsh) -> None:
    device = remote_device(shared_openssh)
    try:
        result = check_device(device, device.runtimes["toy"], RunSettings(sequence_length=16))
    finally:
        device.close()
    assert result.passed, result
    assert result.providers == ("numpy",)


@pytest.mark.slow
def test_the_page_on_runtimes_is_right(tmp_path: Path) -> None:
    install("add-a-runtime.md", tmp_path)
    assert " passed" in run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "test_toy.py")
    commands = commands_of("add-a-runtime.md")
    assert ["profile", "local", "--runtime", "toy", "--samples", "2"] in commands
    outputs = [run(tmp_path, "atb", *words) for words in commands]
    assert "toy" in outputs[0]
    assert (tmp_path / "atb-runs" / "profile.db").is_file()


@pytest.mark.slow
def test_the_page_on_devices_is_right(tmp_path: Path) -> None:
    install("add-a-device.md", tmp_path)
    options = ["-q", "-p", "no:cacheprovider", "-k", "not slow_runtimes"]
    assert " passed" in run(tmp_path, "pytest", *options, "test_nice.py")
    outputs = [run(tmp_path, "atb", *words) for words in commands_of("add-a-device.md")]
    assert "nice" in outputs[0]
    assert (tmp_path / "atb-runs" / "profile.db").is_file()
