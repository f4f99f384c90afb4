"""The page on search methods of other packages, followed literally."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from how_to import Package

from atb.errors import InputError
from atb.search.methods.evolution import Evolution
from atb.search.methods.methods import METHOD_GROUP, find_method
from atb.search.result import read_result


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return Package("add-a-search-method.md", tmp_path_factory.mktemp("package"))


@pytest.mark.slow
def test_the_method_of_the_page_passes_the_suite(package: Package) -> None:
    assert "7 passed" in package.run_tests("test_nearest_search.py")


@pytest.mark.slow
def test_the_commands_of_the_page_search_by_it(package: Package) -> None:
    package.run_commands()
    (path,) = package.folder.rglob("result.json")
    result = read_result(path)
    assert result.method == "nearest"
    assert result.evaluations == 8
    assert result.winner.measured_seconds <= 0.002


def test_the_method_of_the_page_is_found_by_its_name(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(package.folder)
    assert find_method("nearest").__name__ == "NearestSearch"
    with pytest.raises(InputError, match=r"choose random, .*pareto, nearest\."):
        find_method("farthest")


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    entries = [EntryPoint(name, value, METHOD_GROUP)]
    found = {METHOD_GROUP: entries}
    monkeypatch.setattr("atb.plugins.entry_points", lambda group: found.get(group, []))


def test_no_package_takes_the_name_of_a_method_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug_in(monkeypatch, "evolution", "json:loads")
    assert find_method("evolution") is Evolution


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:Method", "cannot be imported from no_such_module:Method"),
        ("json:no_such_object", "cannot be imported from json:no_such_object"),
        ("json:__name__", "is no function or class"),
    ],
)
def test_a_package_that_does_not_work_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    plug_in(monkeypatch, "nearest", value)
    with pytest.raises(InputError, match=message):
        find_method("nearest")
