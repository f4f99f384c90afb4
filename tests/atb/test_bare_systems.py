"""`atb` on systems that lack what is usual: no home folder, no modules of Unix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: A user whom the list of users does not know, as containers have them.
HOMELESS = """
import os, pwd
def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = unknown
for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "ATB_DEVICES", "ATB_CACHE"):
    os.environ.pop(name, None)
"""
#: What Windows lacks.
NO_UNIX = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
"""
PROFILE = ("profile", "fake", "--arch", "tinybert-4", "--db", "night.db")
KNOWN = ("predict", "tinybert-4", "--device", "amd-epyc-milan")


def run(folder: Path, system: str, *words: str) -> subprocess.CompletedProcess[str]:
    program = f"{system}\nimport sys\nsys.argv = ['atb', *{list(words)!r}]\n"
    program += "from atb.cli import main\nmain()\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("devices", "list"),
        ("devices", "show", "local"),
        KNOWN,
        PROFILE,
        ("report", "--db", "night.db", "--out", "page.html"),
    ],
)
def test_a_user_without_a_home_is_served(tmp_path: Path, words: tuple[str, ...]) -> None:
    if words[0] == "report":
        assert run(tmp_path, HOMELESS, *PROFILE).returncode == 0
    done = run(tmp_path, HOMELESS, *words)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "variable"),
    [
        (("devices", "add", "pi4", "ssh://board"), "HOME"),
        (("devices", "add", "pi4", "ssh://board", "--key", "~/key"), "HOME"),
    ],
)
def test_what_needs_a_home_says_which_variable_to_set(
    tmp_path: Path, words: tuple[str, ...], variable: str
) -> None:
    done = run(tmp_path, HOMELESS, *words)
    assert done.returncode == 2
    assert f"set {variable}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("home", ["/nonexistent", "/proc", "", "relative"])
def test_a_home_that_is_none_is_no_home(tmp_path: Path, home: str) -> None:
    done = run(tmp_path, HOMELESS + f"os.environ['HOME'] = {home!r}", "devices", "list")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--help",), ("--version",), ("devices", "list"), KNOWN])
def test_what_times_nothing_needs_no_unix(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, NO_UNIX, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
def test_what_needs_locks_says_so_in_one_sentence_where_there_are_none(tmp_path: Path) -> None:
    done = run(tmp_path, NO_UNIX, *PROFILE)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("atb: This system cannot lock files")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_times_here_says_where_it_can(tmp_path: Path) -> None:
    without_poll = "import select\ndel select.poll\n"
    words = ("profile", "local", "--arch", "tinybert-4", "--db", "night.db")
    done = run(tmp_path, without_poll, *words)
    assert done.returncode == 2
    assert "Linux and macOS" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_module_of_ours_is_imported_without_modules_of_unix(tmp_path: Path) -> None:
    program = NO_UNIX + (
        "import importlib, pkgutil, atb\n"
        "for found in pkgutil.walk_packages(atb.__path__, 'atb.'):\n"
        "    if found.name.split('.')[1] in ('devices', 'profiler', 'predictor', 'commands'):\n"
        "        try:\n"
        "            importlib.import_module(found.name)\n"
        "        except SystemExit:\n"
        "            print('ended', found.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ended atb.devices.remote.agent"
    ]  # which runs on the device
