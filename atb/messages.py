"""What is said while something runs: records of the logger `atb`, and how far it is.

Nothing is printed by itself. `logging.basicConfig(level="INFO")` shows everything, and the command
line shows it on stderr, progress as a bar.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

LOG = logging.getLogger("atb")
LOG.addHandler(logging.NullHandler())

#: ExecuTorch brings torchao, which transformers imports; both tell of kernels that are for GPUs.
_TALKATIVE = ("torchao", "torch.utils._pytree")

#: Progress is never silent for longer.
QUIET_SECONDS = 10.0
#: Work that is done sooner shows none at all.
QUIET_FIRST_SECONDS = 1.0

#: Called with what is done, what there is to do (0 where nobody knows), and a word on what is going
#: on.
Progress = Callable[[int, int, str], None]


def quiet_libraries() -> None:
    """Let libraries tell of errors alone, in this process."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)


def progress_lines(title: str, say: Callable[[str], None]) -> Progress:
    """Progress as lines: one for a tenth of the work, and one when nothing was said for long.

    Nothing is said of what is done within a second.

    Args:
        title: The beginning of each line.
        say: Receives the lines.
    """
    shown, last_total, last_time = -1, -1, 0.0
    begun = time.monotonic()

    def show(done: int, total: int, word: str) -> None:
        nonlocal shown, last_total, last_time
        step = 10 * done // total if total else 0
        now = time.monotonic()
        if now - begun < QUIET_FIRST_SECONDS:
            return
        if total != last_total or step > shown or now - last_time > QUIET_SECONDS:
            shown, last_total, last_time = step, total, now
            say(f"{title}: {done}{f'/{total}' if total else ''} {word}".rstrip())

    return show


@contextlib.contextmanager
def _logged(title: str) -> Iterator[Progress]:
    yield progress_lines(title, LOG.info)


_shown: Callable[[str], AbstractContextManager[Progress]] = _logged


def show_progress_by(show: Callable[[str], AbstractContextManager[Progress]]) -> None:
    """Let something else than the log show progress in this process, such as bars.

    Args:
        show: Receives a title, and hands back what is told how far the work is.
    """
    global _shown  # noqa: PLW0603 -- like the handlers of a logger, one for the whole process
    _shown = show


def progress(title: str) -> AbstractContextManager[Progress]:
    """Tell how far something is."""
    return _shown(title)
