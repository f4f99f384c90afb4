"""A recipe: the commands that make a model, in a TOML file, and what connects them.

Each table is a command and its entries are that command's options, under the same names. Where
files lie, the recipe does not say: every stage is handed what the stages before it wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atb.errors import BadFile
from atb.files import read_toml

#: Options of `[target]`, handed to every stage that measures or predicts.
TARGET = ("device", "runtime", "precision", "threads", "batch", "sequence-length", "affinity")
#: Options that every build sets itself.
RESERVED = frozenset(
    {"db", "out", "json", "list", "campaign", "new-campaign", "predictor", "search", "help"}
)
_CAMPAIGN = "build"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a build, as words of the command line.

    Attributes:
        name: The table of the recipe.
        words: What follows `atb`.
    """

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """What a recipe asks for.

    Attributes:
        tables: By name, each the options of a command.
    """

    tables: Mapping[str, Mapping[str, Any]]

    def steps(self, out: Path) -> list[Step]:
        """The commands in their order.

        Args:
            out: Folder of the build.
        """
        return [
            Step(name, tuple(_STAGES[name](self.tables, out)))
            for name in _STAGES
            if name in self.tables or name in _ALWAYS
        ]

    def keys(self, out: Path) -> dict[str, str]:
        """For each stage a hash of its command and of all before it."""
        keys, before = {}, ""
        for step in self.steps(out):
            content = json.dumps([before, step.words])
            before = keys[step.name] = hashlib.sha256(content.encode()).hexdigest()[:16]
        return keys


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        BadFile: It is missing, not TOML, or has a table that is no stage.
    """
    tables = read_toml(path, "recipe")
    for name, table in tables.items():
        if name not in STAGES or not isinstance(table, dict):
            raise BadFile(
                f"{path}: {name!r} is no stage; write tables of {', '.join(STAGES)}, as in "
                "[search]."
            )
        own = RESERVED & set(table)
        if own:
            raise BadFile(
                f"{path}: [{name}] has {min(own)!r}, which the build sets itself: leave it out."
            )
    if "search" not in tables:
        raise BadFile(f'{path} has no [search]: write at least [search] and latency = "10ms".')
    unknown = set(tables.get("target", {})) - set(TARGET)
    if unknown:
        raise BadFile(f"{path}: [target] has no {min(unknown)!r}; it takes {', '.join(TARGET)}.")
    if "source" not in tables.get("data", {"source": ""}):
        raise BadFile(f'{path}: [data] needs the text, as in source = "text/".')
    return Recipe(tables)


def _options(table: Mapping[str, Any], without: tuple[str, ...] = ()) -> Iterator[str]:
    """A table as options: lists repeat, true is a flag."""
    for name, value in table.items():
        for one in value if isinstance(value, list) else [value]:
            if name in without or one is False:
                continue
            yield f"--{name}"
            if one is not True:
                yield str(one)


_Tables = Mapping[str, Mapping[str, Any]]


def _target(tables: _Tables, *without: str) -> Iterator[str]:
    return _options(tables.get("target", {}), without)


def _data(tables: _Tables, out: Path) -> Iterator[str]:
    table = tables["data"]
    yield from ("data", "prepare", str(table["source"]), "--out", str(out / "shards"))
    yield from _options(table, ("source",))


def _superplm(tables: _Tables, out: Path) -> Iterator[str]:
    yield from (
        "superplm",
        "train",
        "--out",
        str(out / "superplm"),
        *_text(tables, "superplm", out),
    )
    yield from _options(tables["superplm"])


def _profile(tables: _Tables, out: Path) -> Iterator[str]:
    target = dict(tables.get("target", {}))
    yield from ("profile", str(target.pop("device", "local")), "--db", str(out / "profile.db"))
    yield from ("--campaign", _CAMPAIGN, *_options(target), *_options(tables.get("profile", {})))


def _predictor(tables: _Tables, out: Path) -> Iterator[str]:
    yield from ("predictor", "train", "--db", str(out / "profile.db"), "--campaign", _CAMPAIGN)
    yield from ("--out", str(out / "predictor.json"), *_target(tables, "affinity"))
    yield from _options(tables.get("predictor", {}))


def _search(tables: _Tables, out: Path) -> Iterator[str]:
    yield from ("search", "--db", str(out / "profile.db"))
    yield from ("--predictor", str(out / "predictor.json"), "--out", str(out / "search"))
    if "superplm" in tables:
        yield from ("--superplm", str(out / "superplm"))
    layout = tables.get("export", {}).get("format")
    if layout is not None and "format" not in tables["search"]:
        yield from ("--format", str(layout))
    if "space" in tables.get("profile", {}) and "space" not in tables["search"]:
        yield from ("--space", str(tables["profile"]["space"]))
    yield from (*_target(tables), *_options(tables["search"]))


def _train(tables: _Tables, out: Path) -> Iterator[str]:
    yield from ("model", "train", str(out / "search" / "model"), "--out", str(out / "trained"))
    yield from (*_text(tables, "train", out), *_options(tables["train"]))


def _finetune(tables: _Tables, out: Path) -> Iterator[str]:
    start = out / "trained" if "train" in tables else out / "search" / "model"
    yield from ("model", "finetune", str(start), "--out", str(out / "finetuned"))
    yield from _options(tables["finetune"])


def _export(tables: _Tables, out: Path) -> Iterator[str]:
    folders = {"finetune": "finetuned", "train": "trained", "search": "search/model"}
    start = next(folder for stage, folder in folders.items() if stage in tables)
    yield from ("model", "export", str(out / start), "--out", str(out / "model"))
    tuned = tables.get("finetune", {})
    for name in ("data", "sequence-length"):
        if name in tuned and name not in tables.get("export", {}):
            yield from (f"--{name}", str(tuned[name]))
    yield from _options(tables.get("export", {}))


def _report(tables: _Tables, out: Path) -> Iterator[str]:
    yield from ("report", "--db", str(out / "profile.db"), "--search", str(out / "search"))
    yield from ("--predictor", str(out / "predictor.json"), "--out", str(out / "report.html"))
    yield from _options(tables.get("report", {}))


def _text(tables: _Tables, stage: str, out: Path) -> tuple[str, ...]:
    """The shards of the build, where the stage names none of its own."""
    if "data" in tables and "data" not in tables[stage]:
        return ("--data", str(out / "shards"))
    return ()


_STAGES: dict[str, Callable[[_Tables, Path], Iterator[str]]] = {
    "data": _data,
    "superplm": _superplm,
    "profile": _profile,
    "predictor": _predictor,
    "search": _search,
    "train": _train,
    "finetune": _finetune,
    "export": _export,
    "report": _report,
}
_ALWAYS = ("profile", "predictor", "search", "export", "report")
#: Tables that a recipe may have.
STAGES = ("target", *_STAGES)
