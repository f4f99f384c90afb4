"""How the C library keeps memory that torch gives back."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

# Parameters of glibc's mallopt (malloc.h): what is freed at the end of the heap is kept up to the
# first, and blocks below the second come from the heap.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_ALL, _LARGE = 2**31 - 1, 1 << 30


def keep_freed_memory() -> None:
    """Keep freed memory for the steps to come, instead of fetching it anew each time.

    By default glibc returns large blocks to the system at once, and every training step pays for
    its pages again: on a CPU a tenth of the time of a step of `mini` went there. Other C libraries
    are left as they are.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _ALL)
        mallopt(_MMAP_THRESHOLD, _LARGE)


def give_back_memory() -> None:
    """Return what is free to the system, between one training and the next.

    A process that fine-tuned a dozen models one after the other was seen to hold nine gigabytes:
    trainers are cycles of references, which Python collects late, and their memory was kept.
    """
    gc.collect()
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Any:
    """A function of glibc; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)
