"""Tasks by name: those of GLUE, SQuAD, and those that other packages bring.

A package adds a task through the entry-point group `atb.tasks`, name -> "module:object", where the
object keeps to the contract `atb.data.tasks.Task` (docs/how-to/add-a-task.md).
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from atb.data.tasks import GLUE, SQUAD, Task
from atb.errors import InputError
from atb.text_files import one_line

__all__ = ["TASKS", "TASK_GROUP", "find_task"]

#: Entry-point group of tasks that other packages bring.
TASK_GROUP = "atb.tasks"
#: The tasks that come with the package.
TASKS: dict[str, Task] = {**GLUE, **SQUAD}
_OTHER_SPELLINGS = {
    "squad": "squad1",
    "squad11": "squad1",
    "squadv1": "squad1",
    "squad20": "squad2",
    "squadv2": "squad2",
}


def find_task(name: str) -> Task:
    """A task by name, whatever its case and dashes: `SST-2` is `sst2`.

    Raises:
        InputError: There is no such task, or the package that brings it does not work.
    """
    plain = _plain(name)
    plain = _OTHER_SPELLINGS.get(plain, plain)
    if plain in TASKS:
        return TASKS[plain]
    foreign = {_plain(entry.name): entry for entry in entry_points(group=TASK_GROUP)}
    if plain in foreign:
        return _loaded(foreign[plain])
    names = [*TASKS, *sorted(entry.name for entry in foreign.values())]
    near = difflib.get_close_matches(plain, names, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(f"There is no task {name!r}{meant}: choose one of {', '.join(names)}.")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(".", "")


def _loaded(entry: EntryPoint) -> Task:
    """The task of another package.

    Raises:
        InputError: It cannot be imported, or does not keep to the contract.
    """
    try:
        task = entry.load()
    except Exception as error:  # whatever the code of another package raises
        raise InputError(
            f"The task {entry.name} cannot be imported from {entry.value} ({one_line(error)}): "
            "repair or remove the package that brings it."
        ) from error
    parts = [part for part in vars(Task) if not part.startswith("_")]
    missing = [part for part in parts if not hasattr(task, part)]
    if missing or _plain(task.name) != _plain(entry.name):
        reason = f"has no {missing[0]}" if missing else f"calls itself {task.name}"
        raise InputError(
            f"The task {entry.name} of {entry.value} {reason}: repair the package that brings it, "
            "by docs/how-to/add-a-task.md."
        )
    found: Task = task
    return found
