"""Pages of docs/how-to, followed literally: their files are written and installed in a folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from forked import run_forked

PAGES = Path(__file__).parents[1] / "docs" / "how-to"


class Package:
    """The package that a page describes, in a folder of its own.

    Attributes:
        folder: Holds every file of the page, and what an installer writes beside them.
        commands: Lines of the page's blocks without a language: what is typed.
    """

    def __init__(self, page: str, folder: Path) -> None:
        """Write the blocks of a page that have a title, and install them."""
        text = (PAGES / page).read_text("utf-8")
        blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        self.folder = folder
        self.commands = [
            line for described, block in blocks if not described for line in block.splitlines()
        ]
        for described, block in blocks:
            for name in re.findall(r'title="(.+)"', described):
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(block)
                if path.suffix == ".py" and path.parent != folder:
                    (path.parent / "__init__.py").touch()
        self._install()

    def _install(self) -> None:
        """Write what an installer makes of a `pyproject.toml`: a folder that names entry points."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]
        name = f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        (self.folder / name).mkdir()
        (self.folder / name / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        lines = []
        for group, entries in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{entry} = {value}" for entry, value in entries.items())]
        (self.folder / name / "entry_points.txt").write_text("\n".join(lines) + "\n")

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which the package is found."""
        paths = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def run_tests(self, *words: str) -> str:
        """Run a test file of the page by pytest; returns what it printed."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run_commands(self) -> list[str]:
        """Run all commands of the page, each of which must succeed; returns what they printed."""
        outputs = []
        for line in self.commands:
            name, *words = shlex.split(line)
            assert name == "atb"
            done = run_forked(tuple(words), self.folder, self.environment)
            assert done.returncode == 0, done.stderr
            outputs.append(done.stdout)
        return outputs
