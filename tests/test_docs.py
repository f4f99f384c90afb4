"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_the_commands_of_the_training_guide_exist_with_their_options() -> None:
    from atb.cli import app

    root = typer.main.get_command(app)
    text = (ROOT / "docs" / "training.md").read_text("utf-8")
    lines = re.findall(r"^(?:torchrun .*-m )?atb (.+)$", text, re.MULTILINE)
    assert len(lines) > 12
    for line in lines:
        words = line.split()
        command = root.commands[words[0]]
        if subcommands := getattr(command, "commands", {}):
            command = subcommands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<= )--[a-z0-9-]+", line)) <= known, line
