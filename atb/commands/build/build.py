"""`atb build`: everything from a device to a deployable model, by a recipe."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from atb.commands.arguments import Json
from atb.commands.build.recipe import RESERVED, Recipe, Step, read_recipe
from atb.commands.build.recipe_checks import check_recipe
from atb.commands.output import Table, print_result, print_status
from atb.errors import InputError
from atb.files import atomic_path, prepare_output, read_document, write_document
from atb.units import format_duration

_COSTS = "\n## What it cost\n"
_LEDGER = "build.json"
#: Format history: 1, the first.
_KIND, _FORMAT = "build", 1
#: What stages write that refuse to resume with other options.
_OUTPUTS = {"data": "shards", "superplm": "superplm", "train": "trained", "finetune": "finetuned"}


def build(
    context: typer.Context,
    recipe: Annotated[
        Path, Argument(metavar="RECIPE.toml", help="A TOML file; each of its tables is a command.")
    ],
    out: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Write all files below this folder; by default atb-runs/NAME, as the recipe.",
        ),
    ] = None,
    show: Annotated[
        bool, Option("--list", help="Show the commands of the recipe, and run nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Profile, predict, search, train, fine-tune and export, as a recipe says.

    Each table of the recipe is a command, its entries that command's options; those of the table
    `target` hold for all. All options, and what they name, are checked before anything runs. The
    same command resumes: what is done is not done again, and a stage whose options changed is, with
    all after it.

    Example:
        atb build recipe.toml --out built
    """
    atb = context.find_root().command  # what runs the commands of the stages
    known = read_recipe(recipe)
    folder = out or Path("atb-runs") / recipe.stem
    steps = known.steps(folder)
    options = {step.name: check_step(step, recipe, atb) for step in steps}
    if show:
        _list(steps, json=json)
        return
    ledger = _Ledger(folder, known)
    check_recipe(recipe, folder, options, ledger.done)  # before hours depend on it
    ledger.open()
    for number, step in enumerate(steps, 1):
        if ledger.is_done(step.name):
            print_status(f"{number}/{len(steps)} {step.name}: done")
            continue
        print_status(f"{number}/{len(steps)} {step.name}: {shlex.join(['atb', *step.words])}")
        with ledger.time(step.name):
            _run(step, atb)
    _append_costs(folder / "model" / "README.md", ledger.seconds)
    costs = [(name, format_duration(seconds)) for name, seconds in ledger.seconds.items()]
    print_result(
        {"out": str(folder), "seconds": ledger.seconds},
        Table(("stage", "took"), costs),
        f"{folder / 'model'}: the model; {folder / 'report.html'}: how it was found",
        json=json,
    )


def _list(steps: Sequence[Step], *, json: bool) -> None:
    """Show the commands of a recipe."""
    commands = [["atb", *step.words] for step in steps]
    print_result(
        {
            "commands": [
                {"stage": step.name, "words": words}
                for step, words in zip(steps, commands, strict=True)
            ]
        },
        *map(shlex.join, commands),
        json=json,
    )


def _command(words: tuple[str, ...], atb: Any) -> tuple[Any, list[str]]:
    """The command that some words name, and what is left of them."""
    command = atb
    rest = list(words)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    return command, rest


def check_step(step: Step, recipe: Path, atb: Any) -> dict[str, Any]:
    """Refuse options that a command does not have, or that it cannot read.

    Args:
        step: A stage of the recipe.
        recipe: Its file, for messages.
        atb: The root command of the command line.

    Returns:
        What the command would be called with, by the name of the argument.
    """
    command, rest = _command(step.words, atb)
    known = {option for parameter in command.params for option in parameter.opts}
    as_today = atb.context_settings.get("token_normalize_func", str)  # old names of options
    for word in rest:
        if word.startswith("--") and f"--{as_today(word[2:])}" not in known:
            names = sorted({option[2:] for option in known if option[:2] == "--"} - RESERVED)
            raise InputError(
                f"{recipe}: [{step.name}] has no {word[2:]!r}; `atb {step.words[0]}` takes "
                f"{', '.join(names)}."
            )
    try:
        found: dict[str, Any] = command.make_context(
            step.name, rest, token_normalize_func=as_today
        ).params
    except Exception as error:
        message = getattr(error, "format_message", lambda: "")()
        if not message:
            raise
        raise InputError(f"{recipe}: [{step.name}] {message}") from error
    return found


def _run(step: Step, atb: Any) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # the result of a build is its own
        code = atb.main(args=list(step.words), prog_name="atb", standalone_mode=False)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


class _Ledger:
    """`build.json`: which stages of a build are done, and what they took."""

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


def _append_costs(card: Path, seconds: Mapping[str, float]) -> None:
    """The ledger, at the end of the model's card."""
    text = card.read_text("utf-8").partition(_COSTS)[0].rstrip()
    rows = [f"| {name} | {format_duration(took)} |" for name, took in seconds.items()]
    table = "\n".join(["| stage | took |", "| --- | ---: |", *rows])
    with atomic_path(card) as temporary:
        temporary.write_text(f"{text}\n{_COSTS}\n{table}\n", "utf-8")
