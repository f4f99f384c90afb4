"""What tests of several folders share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import copy
from functools import lru_cache
from itertools import count
from pathlib import Path

import pytest
from openssh import OpenSsh, is_installed, running_openssh
from postgresql import Server, find_binaries, running_server

from atb.devices import known_folder as known_files
from atb.devices.runtimes import reference
from atb.messages import LOG

_NUMBERS = count()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every worker begin with modules of long tests, so that none is left with one at the end.

    `--dist worksteal` gives each worker as many items, in order; whoever is done takes some of the
    last ones of another.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    halves = [[i for i in items if i.path in slow], [i for i in items if i.path not in slow]]
    items[:] = [
        item
        for worker in range(workers)
        for half in halves
        for item in half[worker * len(half) // workers : (worker + 1) * len(half) // workers]
    ]


@pytest.fixture(autouse=True)
def devices_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the user's own, so that no test reads or writes what is there.

    In this process the known devices that come with the package are not there either.
    """
    folder = tmp_path / "configuration"
    monkeypatch.setenv("ATB_DEVICES", str(folder / "devices.json"))
    monkeypatch.setattr(known_files, "SHIPPED_FOLDER", folder / "shipped")
    return folder


@pytest.fixture(autouse=True)
def artefacts_of_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test finds what another one built, or what the user keeps."""
    folder = tmp_path_factory.getbasetemp() / f"artefacts-{next(_NUMBERS)}"
    monkeypatch.setenv("ATB_CACHE", str(folder))


@pytest.fixture(autouse=True)
def messages_as_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command did to the logger ends with its test: none depends on the ones before it."""
    for name in ("handlers", "propagate", "level"):
        monkeypatch.setattr(LOG, name, copy(getattr(LOG, name)))


@pytest.fixture(scope="session", autouse=True)
def references_kept() -> Iterator[None]:
    """Many campaigns on the simulated device measure the same samples: most of their time."""
    with pytest.MonkeyPatch.context() as patched:
        kept = lru_cache(maxsize=512)(reference.timing_output.__wrapped__)
        patched.setattr(reference, "timing_output", kept)
        yield


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
    """A server whose logins end in an emulated 64-bit ARM machine."""
    with _arm_server("arm64") as server:
        yield server


@pytest.fixture(scope="session")
def armhf_server(openssh_installed: None) -> Iterator[OpenSsh]:
    """The same of 32 bits."""
    with _arm_server("armhf") as server:
        yield server


def _arm_server(architecture: str) -> AbstractContextManager[OpenSsh]:
    """See scripts/arm-root; tests that need one are skipped where no root was made."""
    folder = os.environ.get("ATB_ARM_ROOTS")
    if folder is None:
        assert os.environ.get("CI") != "true", "ATB_ARM_ROOTS must be set where CI=true"
        pytest.skip("there is no ARM root (scripts/test --system makes them)")
    script = str(Path(__file__).resolve().parents[1] / "scripts" / "arm-root")
    enter = shlex.join([script, architecture, f"{folder}/{architecture}", "/bin/sh", "-c"])
    return running_openssh(lines=[f'ForceCommand {enter} "$SSH_ORIGINAL_COMMAND"'])


@pytest.fixture
def postgresql(postgresql_server: Server) -> str:
    """The URL of an empty database."""
    return postgresql_server.make_database(f"test{next(_NUMBERS)}")
