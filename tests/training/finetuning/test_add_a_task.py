"""The page on tasks of other packages, followed literally."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest
from how_to import Package

from atb.data.tasks.glue import GLUE
from atb.errors import InputError
from atb.training.finetuning.task_names import TASK_GROUP, find_task


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return Package("add-a-task.md", tmp_path_factory.mktemp("package"))


@pytest.mark.slow
def test_the_task_of_the_page_passes_the_suite(package: Package) -> None:
    assert "7 passed" in package.run_tests("test_ticket_task.py")


@pytest.mark.slow
def test_the_commands_of_the_page_fine_tune_and_evaluate(package: Package) -> None:
    package.run_commands()
    folder = package.folder
    report = json.loads((folder / "tuned" / "finetuned.json").read_text())
    assert report["task"] == "tickets"
    assert set(report["scores"]) == {"dev"}
    assert 0 <= report["scores"]["dev"]["accuracy"] <= 1
    answers = (folder / "answers" / "tickets-test.txt").read_text().splitlines()
    assert len(answers) == 2
    assert set(answers) <= {"billing", "delivery"}


def test_the_task_of_the_page_is_found_by_its_name(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(package.folder)
    assert find_task("Tickets").metric == "accuracy"
    with pytest.raises(InputError, match=r"no task 'ticket' \(did you mean tickets\?\)"):
        find_task("ticket")


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    entries = [EntryPoint(name, value, TASK_GROUP)]
    found = {TASK_GROUP: entries}
    monkeypatch.setattr("atb.plugins.entry_points", lambda group: found.get(group, []))


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
