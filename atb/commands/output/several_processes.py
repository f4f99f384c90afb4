"""Several processes of one command, as `torchrun` starts them: what may run so, and who speaks.

What the launcher sets is read here and nowhere else of the face; how the processes share the work
is written in `atb.training.processes`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from atb.errors import InputError

__all__ = ["refuse_several", "speaks"]

#: Commands whose processes share the work; all others would each do all of it, in the same folder.
SHARING = (("superplm", "train"), ("superplm", "finetune"))
_ONLY_TELLING = {"-h", "--help", "--version"}


def speaks() -> bool:
    """Whether this process is the one on its machine that prints."""
    return _number("WORLD_SIZE", 1) <= 1 or _number("LOCAL_RANK", _number("RANK", 0)) == 0


def refuse_several(words: Sequence[str]) -> None:
    """Refuse to run a command in several processes that cannot share its work.

    Args:
        words: Of the command line, behind `atb`.

    Raises:
        InputError: There are several processes, and it is such a command.
    """
    count = _number("WORLD_SIZE", 1)
    command = tuple(word for word in words if not word.startswith("-"))[:2]
    if count <= 1 or not command or command in SHARING or _ONLY_TELLING & set(words):
        return
    sharing = " and ".join(f"`atb {' '.join(known)}`" for known in SHARING)
    raise InputError(
        f"`atb {command[0]}` was started in {count} processes and runs in one: start it without "
        f"torchrun (WORLD_SIZE is {count}); only {sharing} share their work."
    )


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default
