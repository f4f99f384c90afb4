"""What the documentation says is true: its commands run, its links lead somewhere."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
import typer
from forked import run_forked
from pages.documents import NO_RUN, PAGES, ROOT, Block, blocks_of, page_name
from pages.page_world import made_small, write_world

from atb.errors import MissingExtra, install_command

FOLDERS = ("atb", "data", "deploy", "devices", "models", "predictor", "profiler", "report")
#: Everything in which a reader is told to type something.
SAID = [
    *PAGES,
    *(
        path
        for folder in (*FOLDERS, "search", "training")
        for path in (ROOT / folder).rglob("*.py")
    ),
]
REFERENCE = ROOT / "docs" / "reference"
DEFECTS = (REFERENCE / "reference_defects.md").read_text("utf-8")
#: Pages that a test of their own follows, file by file and command by command.
FOLLOWED = [
    *sorted((ROOT / "docs" / "how-to").glob("add-a-*.md")),
    ROOT / "docs" / "how-to" / "use-from-python.md",
    REFERENCE / "python.md",
]
RUN = [page for page in PAGES if page not in FOLLOWED]
#: Languages of blocks that hold no commands, and what reads them.
READERS = {
    "toml": tomllib.loads,
    "json": json.loads,
    "csv": lambda text: list(csv.reader(text.splitlines(), strict=True)),
}
MOST_MARKS = 10
#: What sample outputs of `atb quickstart` have beside those of `atb search`.
ONLY_QUICKSTART = {"report"}
#: Commands that end with another code than 0 when all is well.
VERDICTS = {"compare": {0, 3, 4, 5}}


def commands_of(page: Path) -> list[str]:
    """The commands of a page that run, in order."""
    return [
        line
        for block in blocks_of(page)
        if block.language == "sh" and NO_RUN not in block.marks
        for line in block.commands
    ]


def environment_of(folder: Path) -> dict[str, str]:
    """Nothing of the user's is read or written."""
    kept = {"ATB_CACHE": str(folder / "cache"), "ATB_DEVICES": str(folder / "own" / "devices.json")}
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **kept}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `atb` with these words in the folder."""
    return run_forked(words, folder, environment_of(folder))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages name; nothing changes it."""
    folder = tmp_path_factory.mktemp("world")
    write_world(partial(run, folder), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in RUN if commands_of(page)], ids=page_name)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: Path, world: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(world, folder, symlinks=True)
    printed = ""
    for line in commands_of(page):
        words = made_small(line)
        done = run(folder, *words)
        allowed = VERDICTS.get(words[0], {0})
        assert done.returncode in allowed, f"{line}\natb {shlex.join(words)}\n{done.stderr}"
        printed += done.stdout
    shown = "".join(block.text for block in blocks_of(page) if block.language == "text")
    assert labels_of(shown) - ONLY_QUICKSTART <= labels_of(printed)


def labels_of(output: str) -> set[str]:
    """What the lines of an output begin with."""
    return {line.split()[0] for line in output.splitlines() if line.strip()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in RUN if any(block.language == "python" for block in blocks_of(page))],
    ids=page_name,
)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    blocks = [block.text for block in blocks_of(page) if block.language == "python"]
    program = "\n".join(blocks).replace("samples=30", "samples=12")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", RUN, ids=page_name)
def test_every_block_is_commands_python_data_or_output(page: Path) -> None:
    for block in blocks_of(page):
        if block.language in READERS:
            assert READERS[block.language](block.text)
        else:
            assert block.language in {"sh", "python", "text"}, block
        assert set(block.marks) <= {NO_RUN}, block


def test_at_most_ten_blocks_are_not_run() -> None:
    marked = [page_name(page) for page in RUN for block in blocks_of(page) if block.marks]
    assert len(marked) <= MOST_MARKS, marked


@pytest.mark.parametrize("page", FOLLOWED, ids=page_name)
def test_a_page_that_does_not_run_here_has_a_test_of_its_own(page: Path) -> None:
    tests = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert any(page.name in text for text in tests)


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


def typed_in(block: Block) -> list[str]:
    """The commands of `atb` in a block."""
    return re.findall(r"^(?:torchrun .*-m )?atb (.+?)(?: +#.*)?$", block.text, re.MULTILINE)


@pytest.mark.parametrize("page", RUN, ids=page_name)
def test_the_commands_of_a_page_are_understood_with_every_option(page: Path) -> None:
    lines = [
        line for block in blocks_of(page) if block.language == "sh" for line in typed_in(block)
    ]
    for line in lines:
        if line != "--version":
            command, words = command_of(shlex.split(line))
            assert command.make_context(command.name, words).params, line


@pytest.mark.parametrize("page", RUN, ids=page_name)
def test_no_command_of_a_page_meets_what_another_one_wrote(page: Path) -> None:
    lines = [line for line in commands_of(page) if "superplm evaluate" not in line]
    written = re.findall(r"(?<= --out )\S+", "\n".join(lines))
    assert len(written) == len(set(written))


def test_every_command_is_on_a_page() -> None:
    typed = [line for page in RUN for block in blocks_of(page) for line in typed_in(block)]
    named = {" ".join(line.split()[:2]) for line in typed} | {line.split()[0] for line in typed}
    for name, command in root_command().commands.items():
        for word in getattr(command, "commands", {"": None}):
            path = f"{name} {word}".strip()
            text = "\n".join(page.read_text("utf-8") for page in RUN if page.name != "commands.md")
            assert path in named or f"`atb {path}" in text, path


def test_the_page_of_commands_is_what_the_help_says() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "commands_page.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (REFERENCE / "commands.md").read_text("utf-8") == made.stdout, (
        "python scripts/commands_page.py > docs/reference/commands.md"
    )


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *PAGES[1:]], ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
        if target.startswith("https://"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors_of(path), f"{target}#{anchor}"


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked_from_the_list_of_pages() -> None:
    listed = re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / "README.md").read_text("utf-8"))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]}
    assert pages - {"README.md"} == set(listed)


def test_paths_named_in_the_tables_exist() -> None:
    for page in (ROOT / "ARCHITECTURE.md", REFERENCE / "formats.md"):
        for path in re.findall(r"\b((?:[a-z_]+/)+[a-z_]+\.(?:py|toml))\b", page.read_text("utf-8")):
            found = (ROOT / path).is_file() or list(ROOT.glob(f"*/{path}"))
            assert found, f"{page}: {path}"


def test_every_defect_of_the_reference_has_its_row() -> None:
    numbers = re.findall(r"^\| (\d+b?) \|", DEFECTS, re.MULTILINE)
    assert numbers == [*map(str, range(1, 9)), "8b", *map(str, range(9, 18))]


def test_the_tests_named_for_them_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", DEFECTS)
    assert len(named) > 18
    for file, name in named:
        text = (ROOT / file).read_text("utf-8")
        assert not name or f"def {name}(" in text, (file, name)


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
