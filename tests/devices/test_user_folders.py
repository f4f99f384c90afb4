"""Where a user's files lie, and what is said to one who has no place for them."""

from pathlib import Path

import pytest

from atb.devices.known_folder import known_files, own_file
from atb.devices.remote.saved_devices import devices_path, read_devices, write_devices
from atb.devices.user_folders import (
    cache_folder,
    configuration_folder,
    expand_user,
    home_folder,
)
from atb.errors import InputError


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    monkeypatch.setattr(Path, "expanduser", none)
    for name in ("ATB_DEVICES", "ATB_CACHE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("homeless")
def test_who_has_no_home_has_no_files_of_his_own() -> None:
    assert home_folder() is configuration_folder() is cache_folder() is devices_path() is None
    assert read_devices() == {}
    assert known_files() == {}


@pytest.mark.usefixtures("homeless")
def test_writing_without_a_home_says_which_variable_to_set() -> None:
    with pytest.raises(InputError, match=r"set HOME or XDG_CONFIG_HOME.*ATB_DEVICES"):
        write_devices({})
    with pytest.raises(InputError, match="set HOME or XDG_CONFIG_HOME"):
        own_file("pi4")
    with pytest.raises(InputError, match="set HOME"):
        expand_user(Path("~/key"))


@pytest.mark.usefixtures("homeless")
def test_variables_take_the_place_of_a_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert configuration_folder() == tmp_path / "autotinybert"
    assert cache_folder() == tmp_path / "cache" / "autotinybert"
    assert write_devices({}) == tmp_path / "autotinybert" / "devices.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert configuration_folder() is None


def test_the_home_of_somebody_else_holds_no_files_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.delenv("ATB_DEVICES")
    monkeypatch.setattr(Path, "exists", refused)
    assert read_devices() == {}
