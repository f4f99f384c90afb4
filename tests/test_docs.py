"""What the documents point at is there."""

from __future__ import annotations

import re
import shlex
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

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


@lru_cache
def root_command() -> Any:
    from atb.cli import app

    return typer.main.get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and the rest of them."""
    command = root_command()
    while words and (subcommands := getattr(command, "commands", {})):
        assert words[0] in subcommands, words
        command, words = subcommands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize(
    ("page", "fewest"),
    [("README.md", 8), ("docs/training.md", 13), ("docs/searching.md", 10), ("docs/devices.md", 7)],
)
def test_the_commands_of_the_pages_are_whole_and_understood(page: str, fewest: int) -> None:
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    typed = "\n".join(block for language, block in blocks if not language)
    lines = re.findall(r"^(?:torchrun .*-m )?atb (.+)$", typed, re.MULTILINE)
    whole = [line for line in lines if " | " not in line and not re.search(r" {2,}|\[", line)]
    assert len(whole) >= fewest
    written = re.findall(r"(?<= --out )\S+", "\n".join(whole))
    assert len(written) == len(set(written)), "one command would meet what another wrote"
    for line in whole:
        if line == "--version":
            continue
        command, words = command_of(shlex.split(line))
        # parses every word, as it would be before the command begins
        assert command.make_context(command.name, words).params, line


def test_commands_that_messages_and_pages_name_exist_with_their_options() -> None:
    named = 0
    for path in SAID:
        joined = re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8"))  # of strings over lines
        for code in re.findall(r"`atb ([a-z][^`]*)`", joined):
            words = code.replace("...", " ").split()
            start = next((i for i, word in enumerate(words) if not word.islower()), len(words))
            plain = [word for word in words[:start] if re.fullmatch(r"[a-z]+", word)]
            command, _ = command_of([*plain[:2]])
            known = {option for parameter in command.params for option in parameter.opts}
            asked = {word for word in words if re.fullmatch(r"--[a-z][a-z-]+", word)}
            assert getattr(command, "commands", None) is None or not asked, (path, code)
            assert asked <= known | {"--help", "--version"}, (path, code)
            named += 1
    assert named > 80


def test_the_example_of_a_recipe_can_be_read() -> None:
    from atb.commands.build.build import check_step
    from atb.commands.build.recipe import read_recipe

    path = ROOT / "examples" / "laptop.toml"
    steps = read_recipe(path).steps(Path("out"))
    assert [step.name for step in steps][-3:] == ["finetune", "export", "report"]
    for step in steps:
        check_step(step, path, root_command())


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
