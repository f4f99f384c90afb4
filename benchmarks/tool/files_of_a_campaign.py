"""In how many files lie the functions that `atb profile fake --samples 5` runs?

A reader who follows a campaign opens as many. Counted are the files of the package in which a
function was called; what runs while a module is imported (its body, decorators, registrations) is
left out.

    python -m benchmarks.tool.files_of_a_campaign
"""

from __future__ import annotations

import inspect
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.shared.paths import ROOT
from benchmarks.shared.record import machine, write_result

COMMAND = ("profile", "fake", "--samples", "5", "--db", "campaign.db")
MOST_FILES = 40


class FileCount:
    """Notes the files of the package in which functions are called, as a profile function."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._known: dict[CodeType, str | None] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take an event of `sys.setprofile`."""
        code = frame.f_code
        if event != "call":
            return
        if code not in self._known:
            self._known[code] = _file_of(code)
        file = self._known[code]
        if file is not None and file not in self.files and not _while_importing(frame):
            self.files.add(file)


def _file_of(code: CodeType) -> str | None:
    """The file of a function below the repository; None of bodies of modules and classes."""
    path = Path(code.co_filename).resolve()
    if not code.co_flags & inspect.CO_OPTIMIZED or not path.is_relative_to(ROOT):
        return None
    file = str(path.relative_to(ROOT))
    return None if file.startswith(("benchmarks", ".venv")) else file


def _while_importing(frame: FrameType | None) -> bool:
    """Whether the body of a module that is being imported called this, directly or not."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals["__name__"] != "__main__":
            return True
        frame = frame.f_back
    return False


def count(out: Path) -> None:
    """Run the command in this process, and write the files that it needed.

    Args:
        out: A JSON file with their names.
    """
    seen = FileCount()
    sys.argv = ["atb", *COMMAND]
    threading.setprofile(seen)
    sys.setprofile(seen)
    try:
        runpy.run_module("atb", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
        out.write_text(json.dumps(sorted(seen.files)), "utf-8")


def main() -> None:
    """Count in a fresh process, print the files, and record how many there are."""
    started = machine()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "files.json"
        module = "benchmarks.tool.files_of_a_campaign"
        script = f"import pathlib, {module} as m; m.count(pathlib.Path({str(out)!r}))"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": name}
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=name, env=environment, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        files = json.loads(out.read_text("utf-8"))
    rooms = Counter(str(Path(file).parent) for file in files)
    print(*files, sep="\n")
    figures = {
        "counted_command": " ".join(("atb", *COMMAND)),
        "files": len(files),
        "most_files": MOST_FILES,
        "files_of_rooms": dict(sorted(rooms.items())),
        "names": files,
    }
    print(f"{len(files)} files, {MOST_FILES} are wanted at most")
    print(write_result("files_of_a_campaign", figures, started))


if __name__ == "__main__":
    main()
