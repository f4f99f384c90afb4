"""The pages on how to add a runtime or a device are followed literally, outside the project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from how_to import Package
from openssh import OpenSsh
from remote_devices import remote_device

from atb.devices.local import LocalDevice
from atb.devices.registry import find_runtime, list_devices
from atb.devices.runtimes.artefacts import artefact_key
from atb.devices.runtimes.reference import check_device
from atb.devices.runtimes.registry import all_runtimes
from atb.devices.settings import RunSettings
from atb.errors import InputError
from atb.models.architecture import Architecture


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Package("add-a-runtime.md", tmp_path)
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
        from atb.devices.runtimes import artefacts as module

        module._code_fingerprint.cache_clear()
        return artefact_key(all_runtimes()["toy"], Architecture(1, 20, 2, 12, 28), RunSettings())

    before = key()
    assert key() == before
    with (toy / "toy_runtime" / "runner.py").open("a") as file:
        file.write("# changed\n")
    assert key() != before


def test_a_runtime_that_does_not_load_spoils_no_other(toy: Path) -> None:
    (toy / "toy_runtime" / "runtime.py").write_text("raise OSError('no licence\\nat all')\n")
    assert "onnxruntime" in LocalDevice().runtimes
    notes = {row.runtime: row.note for row in list_devices() if row.device == "local"}
    assert "(no licence)" in notes["toy"]
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
    package = Package("add-a-runtime.md", tmp_path)
    assert " passed" in package.run_tests("test_toy.py")
    assert "atb profile local --runtime toy --samples 2" in package.commands
    assert "toy" in package.run_commands()[0]
    assert (tmp_path / "atb-runs" / "profile.db").is_file()


@pytest.mark.slow
def test_the_page_on_devices_is_right(tmp_path: Path) -> None:
    package = Package("add-a-device.md", tmp_path)
    assert " passed" in package.run_tests("-k", "not slow_runtimes", "test_nice.py")
    assert "nice" in package.run_commands()[0]
    assert (tmp_path / "atb-runs" / "profile.db").is_file()
