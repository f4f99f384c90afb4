"""`build.json`: which stages of a build are done, and what they took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atb.commands.build.recipe import Recipe
from atb.files import prepare_output, read_document, write_document

__all__ = ["Ledger"]

_LEDGER = "build.json"
#: Format history: 1, the first.
_KIND, _FORMAT = "build", 1
#: What stages write that refuse to resume with other options.
_OUTPUTS = {"data": "shards", "superplm": "superplm", "train": "trained", "finetune": "finetuned"}


class Ledger:
    """Which stages of a build are done, and what they took."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._folder = folder
        self._keys = recipe.keys(folder)
        self._stages: dict[str, dict[str, Any]] = {}
        if (folder / _LEDGER).is_file():
            self._stages = read_document(folder / _LEDGER, kind=_KIND, format=_FORMAT)["stages"]

    def open(self) -> None:
        """Make ready to write."""
        prepare_output(self._folder, directory=True)
        self._count_what_was_cut_off()

    @property
    def done(self) -> set[str]:
        """Stages that are not run again."""
        return {name for name in self._keys if self.is_done(name)}

    def is_done(self, name: str) -> bool:
        """Whether a stage was finished with these options and those before it."""
        stage = self._stages.get(name, {})
        return stage.get("key") == self._keys[name] and bool(stage.get("done"))

    @property
    def seconds(self) -> dict[str, float]:
        """What each stage of the recipe took so far, over all calls."""
        return {name: self._stages.get(name, {}).get("seconds", 0.0) for name in self._keys}

    @contextlib.contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Count a stage that is about to run; done when nothing is raised."""
        before = self._stages.get(name, {})
        stage = before
        if before.get("key") != self._keys[name]:
            self._set_aside(name, str(before.get("key", "")))
            stage = {"key": self._keys[name], "seconds": 0.0}
        begun = time.time()
        self._stages[name] = {**stage, "done": False, "begun": begun}
        self._write()
        done = False
        try:
            yield
            done = True
        finally:
            seconds = stage["seconds"] + time.time() - begun
            self._stages[name] = {**stage, "seconds": round(seconds, 1), "done": done}
            self._write()

    def _set_aside(self, name: str, key: str) -> None:
        """Keep what other options made, under another name: training would refuse its folder."""
        made = self._folder / _OUTPUTS.get(name, "")
        if name in _OUTPUTS and made.exists():
            made.rename(made.with_name(f"{made.name}.{key or 'before'}"))

    def _count_what_was_cut_off(self) -> None:
        """A stage that was killed wrote something last; until then it ran."""
        for stage in self._stages.values():
            begun = stage.pop("begun", None)
            if begun is not None:
                last = max(path.stat().st_mtime for path in self._folder.rglob("*"))
                stage["seconds"] = round(stage["seconds"] + max(0.0, last - begun), 1)

    def _write(self) -> None:
        write_document(self._folder / _LEDGER, {"stages": self._stages}, kind=_KIND, format=_FORMAT)
