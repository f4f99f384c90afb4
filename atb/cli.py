"""The `atb` command: hands the words over to `atb.commands` and turns errors into exit codes."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

import typer

from atb import __version__
from atb.commands import compare, data, database, predict, quickstart, report, space
from atb.commands.build import build
from atb.commands.devices import devices
from atb.commands.model import model
from atb.commands.output import complain, prepare_streams, print_line, refuse_several
from atb.commands.predictor import predictor
from atb.commands.profile import profile
from atb.commands.search import search
from atb.commands.superplm import superplm
from atb.errors import AtbError, Interrupted

__all__ = ["app", "main"]

INTERRUPTED = 130

#: ExecuTorch brings torchao, which transformers imports; both tell of kernels that are for GPUs.
_TALKATIVE = ("torchao", "torch.utils._pytree")

app = typer.Typer(
    name="atb",
    help="Find the best small BERT for a device: measure, predict, search.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("quickstart")(quickstart.quickstart)
app.command("profile")(profile.profile)
app.command("compare")(compare.compare)
app.command("predict")(predict.predict)
app.command("search")(search.search)
app.command("build")(build.build)
app.command("report")(report.report)
app.add_typer(devices.app, name="devices")
app.add_typer(space.app, name="space")
app.add_typer(database.app, name="database")
app.add_typer(predictor.app, name="predictor")
app.add_typer(data.app, name="data")
app.add_typer(superplm.app, name="superplm")
app.add_typer(model.app, name="model")


def _show_version(asked: bool) -> None:
    if asked:
        print_line(f"atb {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Find the best small BERT for a device: measure, predict, search."""


#: Typer carries its own copy of click in new versions; its base error is found through a subclass.
_UsageProblem: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def main() -> NoReturn:
    """Run the command line; 0 done, 1 a run failed, 2 the user's input, 130 Ctrl-C.

    `compare` has further exit codes for its verdicts.
    """
    prepare_streams()
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        refuse_several(sys.argv[1:])
        code = app(prog_name="atb", standalone_mode=False)
    except Interrupted as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except AtbError as error:
        complain(str(error))
        code = error.exit_code
    except _UsageProblem as error:
        # typer's checks by pydantic say "Value error, ..." before what is wrong
        message = error.format_message().replace("Value error, ", "")  # type: ignore[attr-defined]
        # without arguments the help was shown, and there is no message
        if message:
            complain(f"{message.rstrip('.')} (see --help).")
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
        complain(
            f"The system refused{place} ({error.strerror}): check the path and the free space."
        )
        code = 1
    if code == INTERRUPTED:  # new versions of typer turn Ctrl-C into this code themselves
        complain("Interrupted; what was done is kept: run the same command to go on.")
    sys.exit(code if isinstance(code, int) else 0)
