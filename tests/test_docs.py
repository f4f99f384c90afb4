"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
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
