"""Print docs/reference/commands.md: every command with its options, as `--help` has them.

python scripts/commands_page.py > docs/reference/commands.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import typer

HEAD = """\
# Commands

<!-- Made by scripts/commands_page.py from the help of the commands. -->

`atb COMMAND --help` shows the same. A command that gives a result has `--json`, which prints one
document ([its fields](formats.md#documents-of---json)). Results go to stdout, all else to stderr.

| exit code | meaning |
| --- | --- |
| 0 | The command is done. For `compare`: the two models do not differ. |
| 1 | A run failed. What was measured stays in the database. |
| 2 | The input cannot be used. The message says what came and what was wanted. |
| 3, 5, 4 | For `compare` alone: the second model is slower, is faster, or it is undecided. |
| 130 | The command was ended by Ctrl-C. The same command goes on. |

Times are written `500us`, `10ms` or `2min`, sizes `20MB`, shares `1%`, numbers `10M`. An
architecture is written `L4-H256-A8-Q256-F512` (layers, hidden size, heads, width of the queries,
width of the feed-forward part) or by a known name such as `tinybert-4`.
"""


def page() -> str:
    """The whole page, in Markdown."""
    from atb.cli import app

    root = typer.main.get_command(app)
    lines = [HEAD]
    for path, command in _leaves([], root):
        lines += _section(path, command)
    return "\n".join(lines).rstrip("\n") + "\n"


def _leaves(path: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
    """Every command that has none below it, with its words."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name, below in subcommands.items():
        if not below.hidden:
            yield from _leaves([*path, name], below)


def _section(path: list[str], command: Any) -> list[str]:
    """The part of the page on one command."""
    context = typer.Context(command, info_name=path[-1])
    rows = [
        _row(parameter, context)
        for parameter in command.params
        if not parameter.hidden and parameter.name != "help"
    ]
    table = ["| argument or option | meaning | default |", "| --- | --- | --- |", *rows, ""]
    example = []
    if command.epilog:
        example = [re.sub(r"^Example: (.*)$", r"Example: `\1`", command.epilog), ""]
    text = [f"## atb {' '.join(path)}", "", _text(command.help or ""), "", *example]
    return [*text, *(table if rows else [])]


def _text(help_text: str) -> str:
    """Paragraphs of a help text; one that is marked as it stands (an example) is a block."""
    paragraphs = cleandoc(help_text).split("\n\n")
    return "\n\n".join(_paragraph(paragraph) for paragraph in paragraphs)


def _paragraph(text: str) -> str:
    if text.startswith("\b"):
        return f"```text\n{text.removeprefix(chr(8)).strip()}\n```"
    return " ".join(text.split())


def _row(parameter: Any, context: Any) -> str:
    """One row: the option with what stands for its value, its meaning, its default."""
    if parameter.param_type_name == "argument":
        name = f"`{(parameter.metavar or parameter.name.upper()).strip('[]{}')}`"
    else:
        name = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
        if not parameter.is_flag:
            name += f" `{parameter.metavar or _type_name(parameter)}`"
    default = parameter.get_default(context, call=False)
    shown = "" if not parameter.show_default or default in (None, False, (), []) else f"`{default}`"
    if isinstance(parameter.show_default, str):
        shown = parameter.show_default
    meaning = " ".join((parameter.help or "").split())
    cells = [name, meaning, "required" if parameter.required else shown]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _type_name(parameter: Any) -> str:
    annotation = parameter.type_descriptor.annotation
    return {"int": "NUMBER", "float": "NUMBER", "Path": "PATH"}.get(annotation.__name__, "TEXT")


if __name__ == "__main__":
    print(page(), end="")
