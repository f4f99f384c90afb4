"""The `atb` command: hands the words over to `atb.commands` and turns errors into exit codes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

import typer

from atb import __version__
from atb.commands import (
    compare,
    data,
    database,
    devices,
    model,
    predict,
    predictor,
    profile,
    quickstart,
    report,
    search,
    space,
    superplm,
)
from atb.commands.arguments import expand_options
from atb.commands.build import build
from atb.commands.output import prepare_streams, print_error, print_line, refuse_several
from atb.errors import AtbError, Interrupted
from atb.messages import quiet_libraries

INTERRUPTED = 130

#: Old names of options, which are still understood.
_OLD_NAMES = {"peers": "baselines", "screen": "prune", "no-screen": "no-prune", "patience": "wait"}

Command = Callable[..., None]

#: All commands as `atb --help` shows them: by heading and name. A group of commands has a sentence
#: for its own page.
COMMANDS: Mapping[str, Mapping[str, Command | tuple[str, Mapping[str, Command]]]] = {
    "All in one": {"quickstart": quickstart.quickstart, "build": build.build},
    "Measure": {
        "devices": (
            "List devices, add remote ones, and check them.",
            {
                "list": devices.list_all,
                "add": devices.add,
                "remove": devices.remove,
                "show": devices.show,
                "check": devices.check,
                "bundle": devices.bundle,
            },
        ),
        "profile": profile.profile,
        "compare": compare.compare,
        "database": (
            "Export, import, merge and repair profile databases.",
            {
                "export": database.export,
                "import": database.import_file,
                "merge": database.merge,
                "repair": database.repair,
                "info": database.info,
            },
        ),
    },
    "Predict": {
        "predict": predict.predict,
        "predictor": (
            "Fit latency predictors, and see how good they are.",
            {
                "train": predictor.train.train,
                "transfer": predictor.transfer.transfer,
                "evaluate": predictor.evaluate.evaluate,
                "compare": predictor.compare.compare,
            },
        ),
    },
    "Search": {
        "search": search.search,
        "space": (
            "Show search spaces and known architectures.",
            {"list": space.list_spaces, "show": space.show, "sample": space.sample},
        ),
        "report": report.report,
    },
    "Train": {
        "data": ("Prepare texts for training.", {"prepare": data.prepare}),
        "superplm": (
            "Make, train and evaluate a weight-sharing SuperPLM.",
            {
                "init": superplm.init.init,
                "train": superplm.train.train,
                "finetune": superplm.train.finetune,
                "evaluate": superplm.evaluate.evaluate,
            },
        ),
    },
    "Deploy": {
        "model": (
            "Extract, train, fine-tune, evaluate and export single models.",
            {
                "extract": model.extract,
                "import": model.import_model,
                "train": model.train,
                "finetune": model.finetune,
                "evaluate": model.evaluate,
                "export": model.export,
            },
        )
    },
}


def _add(group: typer.Typer, name: str, command: Command, heading: str | None = None) -> None:
    """Add a command; the section `Example:` of its docstring comes last on its page."""
    about, _, example = (inspect.getdoc(command) or "").partition("\n\nExample:\n")
    about = "\n\n".join(" ".join(paragraph.split()) for paragraph in about.split("\n\n"))
    group.command(
        name,
        help=about,
        epilog=f"Example: {example.strip()}" if example else None,
        rich_help_panel=heading,
    )(expand_options(command))


def _make_app() -> typer.Typer:
    made = typer.Typer(
        name="atb",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "token_normalize_func": lambda name: _OLD_NAMES.get(name, name),
        },
    )
    for heading, commands in COMMANDS.items():
        for name, command in commands.items():
            if not isinstance(command, tuple):
                _add(made, name, command, heading)
                continue
            about, inner = command
            group = typer.Typer(help=about, no_args_is_help=True)
            for inner_name, inner_command in inner.items():
                _add(group, inner_name, inner_command)
            made.add_typer(group, name=name, rich_help_panel=heading)
    made.callback()(_root)
    return made


def _show_version(asked: bool) -> None:
    if asked:
        print_line(f"atb {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Find the best small BERT for a device: measure, predict, search."""


app = _make_app()

#: Typer carries its own copy of click in new versions; its base error is found through a subclass.
_UsageProblem: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def main() -> NoReturn:
    """Run the command line; 0 done, 1 a run failed, 2 the user's input, 130 Ctrl-C.

    `compare` has further exit codes for its verdicts.
    """
    prepare_streams()
    quiet_libraries()
    try:
        refuse_several(sys.argv[1:])
        code = app(prog_name="atb", standalone_mode=False)
    except Interrupted as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except AtbError as error:
        print_error(str(error))
        code = error.exit_code
    except _UsageProblem as error:
        # typer's checks by pydantic say "Value error, ..." before what is wrong
        message = error.format_message().replace("Value error, ", "")  # type: ignore[attr-defined]
        # without arguments the help was shown, and there is no message
        if message:
            print_error(f"{message.rstrip('.')} (see --help).")
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # the reader of our output left, as `| head` does; nothing is wrong
        sys.stderr.close()
        code = 0
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        place = f" {error.filename}" if error.filename else ""
        print_error(
            f"The system refused{place} ({error.strerror}): check the path and the free space."
        )
        code = 1
    if code == INTERRUPTED:  # new versions of typer turn Ctrl-C into this code themselves
        print_error("Interrupted; what was done is kept: run the same command to go on.")
    sys.exit(code if isinstance(code, int) else 0)
