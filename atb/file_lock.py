"""Locks of the system on files: they vanish with their holder, however it ends.

They say who lives where numbers of processes do not: those of another container are not ours, and
a number may be somebody else's by now.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import ModuleType

from atb.errors import InputError

__all__ = ["release", "take"]

fcntl: ModuleType | None
msvcrt: ModuleType | None
try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

#: What systems answer where another one has the lock.
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


def take(path: Path) -> int | None:
    """Lock a file, which is made if it is missing.

    Returns:
        A descriptor for `release`; None where another one has the lock.

    Raises:
        OSError: The file cannot be made, or its file system knows no locks.
        InputError: The system knows none.
    """
    # no link: folders for temporary files belong to everybody
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        # its last holder may have deleted it since it was opened
        if _lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except FileNotFoundError:
        pass  # the answer is no
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def release(path: Path, descriptor: int) -> None:
    """Delete a file and give up its lock."""
    if fcntl is None:  # such systems delete nothing that is open
        os.close(descriptor)
        path.unlink(missing_ok=True)
        return
    path.unlink(missing_ok=True)  # before the lock is gone, so that it is nobody else's
    os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            raise InputError(
                "This system cannot lock files, so that two commands could measure one campaign: "
                "run atb on Linux, macOS or Windows."
            )
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True
