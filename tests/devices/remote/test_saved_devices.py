from pathlib import Path

import pytest

from atb.devices.registry import list_devices
from atb.devices.remote.saved_devices import (
    RemoteFacts,
    SavedDevice,
    check_name,
    devices_path,
    read_devices,
    write_devices,
)
from atb.devices.remote.ssh.address import SshAddress
from atb.errors import BadFile, InputError

FACTS = RemoteFacts(
    {"processor": "Cortex-A72", "system": "Linux"},
    ((0, 1),),
    (0, 1),
    {"numpy": "2.0", "onnxruntime": "1.24"},
    "3.11.2",
)
SAVED = SavedDevice(
    "pi4", SshAddress("pi.local", "pi", 22), FACTS, "venv/bin/py thon", Path("/k e y"), None
)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "folder" / "devices.json"
    monkeypatch.setenv("ATB_DEVICES", str(path))
    return path


def test_without_a_file_there_is_no_device() -> None:
    assert read_devices() == {}


def test_what_is_written_is_read(path: Path) -> None:
    assert write_devices({"pi4": SAVED}) == path
    assert read_devices() == {"pi4": SAVED}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"format": 1, "kind": "devices"}',
        b'{"format": 2, "kind": "devices", "devices": {}}',
        b'{"format": 1, "kind": "devices", "devices": {"pi4": {}}}',
        b'{"format": 1, "kind": "devices", "devices": {"../pi4": {}}}',
        b'{"format": 1, "kind": "devices", "devices": [1]}',
    ],
)
def test_a_damaged_file_is_one_sentence(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(BadFile) as caught:
        read_devices()
    assert str(path) in str(caught.value)
    (broken,) = [listing for listing in list_devices() if listing.device == "-"]
    assert str(path) in broken.note  # the other devices are listed all the same


@pytest.mark.parametrize("change", [("ssh://pi@pi.local:22", "ssh://-x"), ("Cortex-A72", "\\n")])
def test_an_entry_that_was_tampered_with_is_refused(path: Path, change: tuple[str, str]) -> None:
    write_devices({"pi4": SAVED})
    path.write_text(path.read_text("utf-8").replace(*change), "utf-8")
    with pytest.raises(BadFile):
        read_devices()


@pytest.mark.parametrize(
    "name", ["", "Pi", "-pi", "../pi", "a/b", "a b", "a;b", "$(id)", "'", "x" * 65, "pi\n", ".pi"]
)
def test_names_are_plain(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


def test_the_file_lies_with_other_configurations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ATB_DEVICES")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert devices_path() == tmp_path / "autotinybert" / "devices.json"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert devices_path() == tmp_path / ".config" / "autotinybert" / "devices.json"


def test_devices_are_listed_from_what_they_said() -> None:
    write_devices({"pi4": SAVED})
    found = {listing.runtime: listing for listing in list_devices() if listing.device == "pi4"}
    assert found["onnxruntime"].version == "1.24"
    assert found["onnxruntime"].note == "Cortex-A72"
    assert not found["torch"].available
    assert "run `pip install torch` there" in found["torch"].note
