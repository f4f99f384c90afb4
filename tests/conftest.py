"""What tests of several folders share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from openssh import OpenSsh, is_installed, running_openssh
from postgresql import Server, find_binaries, running_server

ROOT = Path(__file__).resolve().parents[1]
_NUMBERS = count()


@pytest.fixture(autouse=True)
def devices_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the user's own, so that no test reads or writes what is there."""
    folder = tmp_path / "configuration"
    monkeypatch.setenv("ATB_DEVICES", str(folder / "devices.json"))
    return folder


@pytest.fixture(autouse=True)
def artefacts_of_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test finds what another one built, or what the user keeps."""
    folder = tmp_path_factory.getbasetemp() / f"artefacts-{next(_NUMBERS)}"
    monkeypatch.setenv("ATB_CACHE", str(folder))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A server of its own; tests that need one are skipped where none is installed."""
    if find_binaries() is None:
        assert os.environ.get("CI") != "true", "postgresql must be installed where CI=true"
        pytest.skip("PostgreSQL is not installed (scripts/test --system installs it)")
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def openssh_installed() -> None:
    """Tests that need a server are skipped where none is installed."""
    if not is_installed():
        assert os.environ.get("CI") != "true", "openssh-server must be installed where CI=true"
        pytest.skip("openssh-server is not installed (scripts/test --system installs it)")


@pytest.fixture(scope="session")
def shared_openssh(openssh_installed: None) -> Iterator[OpenSsh]:
    """A server that no test stops or changes."""
    with running_openssh() as server:
        yield server


@pytest.fixture
def openssh(openssh_installed: None, tmp_path: Path) -> Iterator[OpenSsh]:
    """A server of the test's own, to be stopped and changed."""
    with running_openssh(tmp_path / "openssh") as server:
        yield server


@pytest.fixture(scope="session")
def arm64_server(openssh_installed: None) -> Iterator[OpenSsh]:
    """A server whose logins end in an emulated arm64 machine; see scripts/arm64-root."""
    folder = os.environ.get("ATB_ARM64_ROOT")
    if folder is None:
        assert os.environ.get("CI") != "true", "ATB_ARM64_ROOT must be set where CI=true"
        pytest.skip("there is no arm64 root (scripts/test --system makes one)")
    enter = shlex.join([str(ROOT / "scripts" / "arm64-root"), folder, "/bin/sh", "-c"])
    with running_openssh(lines=[f'ForceCommand {enter} "$SSH_ORIGINAL_COMMAND"']) as server:
        yield server


@pytest.fixture
def postgresql(postgresql_server: Server) -> str:
    """The URL of an empty database."""
    return postgresql_server.make_database(f"test{next(_NUMBERS)}")
