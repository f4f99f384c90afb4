"""The tasks by name."""

from __future__ import annotations

import difflib

from atb.data.tasks import GLUE, SQUAD, Task
from atb.errors import InputError

__all__ = ["TASKS", "find_task"]

#: All of GLUE, and SQuAD.
TASKS: dict[str, Task] = {**GLUE, **SQUAD}
# How people also write them.
_OTHER_NAMES = {
    "squad": "squad1",
    "squad11": "squad1",
    "squadv1": "squad1",
    "squad20": "squad2",
    "squadv2": "squad2",
}


def find_task(name: str) -> Task:
    """A task by name, whatever its case and dashes: `SST-2` is `sst2`.

    Raises:
        InputError: There is no such task.
    """
    plain = name.lower().replace("-", "").replace("_", "").replace(".", "")
    plain = _OTHER_NAMES.get(plain, plain)
    if plain in TASKS:
        return TASKS[plain]
    near = difflib.get_close_matches(plain, TASKS, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(f"There is no task {name!r}{meant}: choose one of {', '.join(TASKS)}.")
