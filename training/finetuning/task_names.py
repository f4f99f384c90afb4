"""Tasks by name: those of GLUE, SQuAD, and those that other packages bring.

A package adds a task through the entry-point group `atb.tasks`, name -> "module:object", where the
object keeps to the contract `atb.data.tasks.Task` (docs/how-to/add-a-task.md).
"""

from __future__ import annotations

import difflib
from pkgutil import resolve_name

from atb.data.tasks import GLUE, SQUAD, Task
from atb.errors import InputError
from atb.plugins import plugins, translate_plugin_errors

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
    foreign = plugins(TASK_GROUP)
    called = next((one for one in foreign if _plain(one) == plain), None)
    if called is not None:
        return _loaded(called, foreign[called])
    names = [*TASKS, *sorted(foreign)]
    near = difflib.get_close_matches(plain, names, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(f"There is no task {name!r}{meant}: choose one of {', '.join(names)}.")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(".", "")


def _loaded(name: str, path: str) -> Task:
    """The task of another package.

    Raises:
        InputError: It cannot be imported, or does not keep to the contract.
    """
    with translate_plugin_errors("task", name, path):
        task = resolve_name(path)
    parts = [part for part in vars(Task) if not part.startswith("_")]
    missing = [part for part in parts if not hasattr(task, part)]
    if missing or _plain(task.name) != _plain(name):
        reason = f"has no {missing[0]}" if missing else f"calls itself {task.name}"
        raise InputError(
            f"The task {name} of {path} {reason}: repair the package that brings it, "
            "by docs/how-to/add-a-task.md."
        )
    found: Task = task
    return found
