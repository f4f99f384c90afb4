from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from atb.devices import registry
from atb.devices.fake.device import FakeDevice
from atb.devices.local import LocalDevice
from atb.devices.registry import find_device, find_runtime, list_devices
from atb.devices.runtimes.library_runtime import RuntimeAbsent, installed_version
from atb.devices.runtimes.registry import all_runtimes
from atb.errors import InputError


class ForeignDevice(FakeDevice):
    def __init__(self) -> None:
        super().__init__(name="board")


class BrokenDevice:
    def __init__(self) -> None:
        raise RuntimeError("no board is plugged in\n\x1b[31mTraceback")


def plug_in(monkeypatch: pytest.MonkeyPatch, **devices: type) -> None:
    entries = [
        EntryPoint(name, f"{__name__}:{kind.__name__}", registry.DEVICE_GROUP)
        for name, kind in devices.items()
    ]
    found = {registry.DEVICE_GROUP: entries}
    monkeypatch.setattr("atb.plugins.entry_points", lambda group: found.get(group, []))
    local = {f"{__name__}:{kind.__name__}": kind for kind in devices.values()}
    load = registry.resolve_name
    # under importlib mode this very module has no importable name
    monkeypatch.setattr(registry, "resolve_name", lambda path: local.get(path) or load(path))


def test_devices_are_found_by_name() -> None:
    assert isinstance(find_device("local"), LocalDevice)
    assert isinstance(find_device("fake"), FakeDevice)


def test_an_unknown_device_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no device 'toaster': choose one of local, fake"):
        find_device("toaster")


def test_the_first_runtime_is_the_default() -> None:
    device = FakeDevice()
    assert find_runtime(device).name == "fake"
    assert find_runtime(device, "fake").name == "fake"


def test_an_unknown_runtime_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"the runtime 'abacus': choose one of onnxruntime"):
        find_runtime(LocalDevice(), "abacus")


def test_every_device_is_listed_with_its_runtimes() -> None:
    listed = {(entry.device, entry.runtime): entry for entry in list_devices()}
    assert listed["local", "onnxruntime"].available
    assert listed["local", "onnxruntime"].precisions == ("fp32", "int8")
    assert listed["fake", "fake"].note == "simulated"
    assert listed["fake", "fake"].to_json()["available"] is True


def test_a_runtime_that_is_not_installed_is_listed_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, runtime in all_runtimes().items():

        def missing(self: object, name: str = name) -> str:
            return installed_version(f"no-{name}", extra=name)

        kind = type(runtime)
        monkeypatch.setattr(kind, "version", property(missing))
    listed = {entry.runtime: entry for entry in list_devices() if entry.device == "local"}
    assert {"onnxruntime", "torch"} <= set(listed)
    for name, entry in listed.items():
        assert not entry.available
        assert f"pip install -e '.[{name}]'" in entry.note
    with pytest.raises(InputError, match=r"pip install -e '\.\[onnxruntime\]'"):
        find_runtime(LocalDevice(), "onnxruntime")
    with pytest.raises(InputError, match="any runtime: it has none"):
        find_runtime(LocalDevice())


def test_the_first_distribution_that_is_installed_tells_the_version() -> None:
    assert installed_version("no-such-package", "numpy") == installed_version("numpy")
    with pytest.raises(RuntimeAbsent, match=r"pip install -e \.`"):
        installed_version("no-such-package")


def test_a_device_of_somebody_else_comes_in_by_the_same_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug_in(monkeypatch, board=ForeignDevice)
    assert find_device("board").name == "board"
    assert ("board", "fake") in {(entry.device, entry.runtime) for entry in list_devices()}


def test_a_device_of_somebody_else_does_not_replace_a_built_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug_in(monkeypatch, local=ForeignDevice)
    assert isinstance(find_device("local"), LocalDevice)


def test_a_device_that_does_not_load_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, broken=BrokenDevice)
    listed = {entry.device: entry for entry in list_devices()}
    assert "(no board is plugged in)" in listed["broken"].note
    assert not listed["broken"].available
    assert listed["fake"].available
    with pytest.raises(InputError, match="no board is plugged in"):
        find_device("broken")
