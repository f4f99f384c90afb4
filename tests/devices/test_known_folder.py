from __future__ import annotations

from pathlib import Path

import pytest

from atb.devices import known_folder as module
from atb.devices.known_folder import (
    check_known_name,
    find_known_file,
    known_files,
    own_file,
)
from atb.devices.user_folders import configuration_folder
from atb.errors import InputError


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of what the package ships."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(module, "SHIPPED_FOLDER", folder)
    return folder


@pytest.mark.parametrize("name", ["pi4", "xeon-8375c", "0", "a.b_c", "a" * 64])
def test_a_plain_name_is_taken(name: str) -> None:
    assert check_known_name(name) == name
    assert own_file(name) == configuration_folder() / "known-devices" / f"{name}.json"


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "-x", ".x", "Pi4", "a b", "a'b", 'a"b',
        "a;b", "$(a)", "a\n", "ä", "a\0", "a" * 65, "local",
    ],
)  # fmt: skip
def test_another_name_builds_no_path(name: str) -> None:
    for build in (check_known_name, own_file):
        with pytest.raises(InputError, match="cannot be called") as refused:
            build(name)
        assert "\n" not in str(refused.value)
    assert find_known_file(name) is None


def test_the_folder_is_beside_the_users_devices(
    devices_of_nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configuration_folder() == devices_of_nobody
    monkeypatch.delenv("ATB_DEVICES")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert configuration_folder() == tmp_path / "xdg" / "autotinybert"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert configuration_folder() == tmp_path / "home" / ".config" / "autotinybert"


def test_where_nothing_is_there_is_no_known_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SHIPPED_FOLDER", tmp_path / "none")
    assert known_files() == {}
    assert find_known_file("pi4") is None


def test_an_own_one_hides_a_shipped_one(shipped: Path) -> None:
    own = own_file("pi4")
    own.parent.mkdir(parents=True)
    for path in (shipped / "pi4.json", shipped / "xeon.json", own, own.with_name("board.json")):
        path.touch()
    # neither is a file of ours: one is half written, one is of another kind
    (shipped / ".half.json.x1.json").touch()
    (shipped / "README.md").touch()
    assert list(known_files()) == ["board", "pi4", "xeon"]
    assert find_known_file("pi4") == own
    assert find_known_file("xeon") == shipped / "xeon.json"
