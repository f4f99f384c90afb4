"""What the documents point at is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer

from atb.errors import MissingExtra, install_command

ROOT = Path(__file__).parents[1]
FOLDERS = ("atb", "data", "devices", "models", "predictor", "profiler", "report", "search")
#: Everything in which a reader is told to type something.
SAID = [
    ROOT / "README.md",
    *(ROOT / "docs").glob("*.md"),
    *(path for folder in (*FOLDERS, "training") for path in (ROOT / folder).rglob("*.py")),
]
DEFECTS = (ROOT / "docs" / "reference_defects.md").read_text("utf-8")


def test_every_defect_of_the_reference_has_its_row() -> None:
    numbers = re.findall(r"^\| (\d+b?) \|", DEFECTS, re.MULTILINE)
    assert numbers == [*map(str, range(1, 9)), "8b", *map(str, range(9, 18))]


def test_the_tests_named_for_them_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", DEFECTS)
    assert len(named) > 18
    for file, name in named:
        text = (ROOT / file).read_text("utf-8")
        assert not name or f"def {name}(" in text, (file, name)


@pytest.mark.parametrize(("guide", "fewest"), [("training", 13), ("searching", 10), ("devices", 7)])
def test_the_commands_of_the_guides_exist_with_their_options(guide: str, fewest: int) -> None:
    from atb.cli import app

    root = typer.main.get_command(app)
    text = (ROOT / "docs" / f"{guide}.md").read_text("utf-8")
    lines = re.findall(r"^(?:torchrun .*-m )?atb (.+)$", text, re.MULTILINE)
    assert len(lines) >= fewest
    for line in lines:
        words = line.split()
        command = root.commands[words[0]]
        if subcommands := getattr(command, "commands", {}):
            command = subcommands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<= )--[a-z0-9-]+", line)) <= known, line


def test_the_example_of_a_recipe_can_be_read() -> None:
    from atb.commands.build import check_step
    from atb.recipe import read_recipe

    path = ROOT / "examples" / "laptop.toml"
    steps = read_recipe(path).steps(Path("out"))
    assert [step.name for step in steps][-3:] == ["finetune", "export", "report"]
    for step in steps:
        check_step(step, path)


def test_what_messages_and_documents_say_to_install_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for path in SAID:
        text = path.read_text("utf-8")
        # it is on no index: an install by its name finds nothing
        assert not re.search(r"pip install '?autotinybert", text), path
        for extra in re.findall(r"pip install -e '\.\[(\w+)\]'", text):
            assert extra in extras, (path, extra)
    assert install_command("ssh") == "`pip install -e '.[ssh]'` in the clone"
    assert install_command() == "`pip install -e .` in the clone"


@pytest.mark.parametrize("extra", ["ray", "pareto", "datasets", "parquet", "tensorboard", "ssh"])
def test_a_missing_extra_is_the_users_to_mend(extra: str) -> None:
    error = MissingExtra("a library", extra, wanted_for="An option", instead="or leave it out")
    assert error.exit_code == 2
    assert str(error) == (
        "An option needs a library, which is not installed: run "
        f"`pip install -e '.[{extra}]'` in the clone, or leave it out."
    )
