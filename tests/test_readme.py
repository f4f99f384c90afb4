"""What README says is true: its commands exist, its Python runs, its files are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of README in this language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [text for found, text in fenced if found == language]


def test_every_command_exists_with_its_options() -> None:
    from atb.cli import app

    root = typer.main.get_command(app)
    lines = [line for block in blocks("") for line in block.splitlines() if line.startswith("atb ")]
    lines.remove("atb --version")
    assert len(lines) > 10
    named = set()
    for line in lines:
        spoken, *described = re.split(r"\s{3,}", line.removeprefix("atb "))
        group, *rest = spoken.split(" | ")
        head, *words = group.split()
        command = root.commands[head]
        subcommands = getattr(command, "commands", {})
        if subcommands:
            for name in [words[0], *(part.split()[0] for part in rest)]:
                assert name in subcommands, line
                named.add((head, name))
            command = subcommands[words[0]]
        else:
            named.add((head, None))
        known = {option for parameter in command.params for option in parameter.opts}
        asked = re.findall(r"--[a-z-]+", " ".join([spoken, *described]))
        assert set(asked) <= known, line
    everything = {
        (head, name)
        for head, command in root.commands.items()
        for name in getattr(command, "commands", {None: None})
    }
    assert everything <= named, "README leaves a command out"


@pytest.mark.slow
def test_the_python_runs_on_the_simulated_device(tmp_path: Path) -> None:
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program.replace('find_device("local")', 'find_device("fake")')],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[0.0")


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_paths_named_in_the_tables_exist() -> None:
    for page in ("ARCHITECTURE.md", "docs/formats.md"):
        text = (ROOT / page).read_text("utf-8")
        for path in re.findall(r"\b((?:[a-z_]+/)+[a-z_]+\.(?:py|toml))\b", text):
            assert (ROOT / path).is_file(), f"{page}: {path}"
