"""The page on tasks of other packages, followed literally."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from forked import run_forked

from atb.data.tasks.glue import GLUE
from atb.errors import InputError
from atb.training.finetuning import task_names
from atb.training.finetuning.task_names import TASK_GROUP, find_task

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-task.md"


def blocks() -> list[tuple[str, str]]:
    """The blocks of code of the page, each with what stands behind its opening fence."""
    text = PAGE.read_text("utf-8")
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def write_files(folder: Path) -> None:
    """Write every block of the page that has a title."""
    for described, text in blocks():
        for name in re.findall(r'title="(.+)"', described):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)


def install(folder: Path) -> None:
    """Write what an installer makes of a `pyproject.toml`: a folder that tells the entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    described = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (described / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all files of the page lie, installed."""
    folder = tmp_path_factory.mktemp("package")
    write_files(folder)
    install(folder)
    return folder


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.slow
def test_the_task_of_the_page_passes_the_suite(folder: Path, environment: dict[str, str]) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "test_ticket_task.py",
    ]
    found = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "7 passed" in found.stdout


@pytest.mark.slow
def test_the_commands_of_the_page_fine_tune_and_evaluate(
    folder: Path, environment: dict[str, str]
) -> None:
    (typed,) = (text for described, text in blocks() if not described)
    for line in typed.splitlines():
        name, *words = shlex.split(line)
        assert name == "atb"
        found = run_forked(tuple(words), folder, environment)
        assert found.returncode == 0, found.stderr
    report = json.loads((folder / "tuned" / "finetuned.json").read_text())
    assert report["task"] == "tickets"
    assert set(report["scores"]) == {"dev"}
    assert 0 <= report["scores"]["dev"]["accuracy"] <= 1
    answers = (folder / "answers" / "tickets-test.txt").read_text().splitlines()
    assert len(answers) == 2
    assert set(answers) <= {"billing", "delivery"}


def test_the_task_of_the_page_is_found_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)
    assert find_task("Tickets").metric == "accuracy"
    with pytest.raises(InputError, match=r"no task 'ticket' \(did you mean tickets\?\)"):
        find_task("ticket")


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    entries = [EntryPoint(name, value, TASK_GROUP)]
    monkeypatch.setattr(task_names, "entry_points", lambda group: entries)


def test_no_package_takes_the_name_of_a_task_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, "sst-2", "json:loads")
    assert find_task("sst2") is GLUE["sst2"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:TASK", "cannot be imported from no_such_module:TASK"),
        ("json:no_such_object", "cannot be imported from json:no_such_object"),
        ("json:loads", "has no name"),
        ("atb.data.tasks.glue:_TASKS", "has no name"),
    ],
)
def test_a_package_that_does_not_work_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    plug_in(monkeypatch, "films", value)
    with pytest.raises(InputError, match=message):
        find_task("films")


def test_a_task_is_called_as_its_entry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atb.data.tasks.glue.FILMS", GLUE["sst2"], raising=False)
    plug_in(monkeypatch, "films", "atb.data.tasks.glue:FILMS")
    with pytest.raises(InputError, match="calls itself sst2"):
        find_task("films")
