from __future__ import annotations

import ctypes
import resource
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from atb.training.memory import keep_freed_memory
if sys.argv[2] == "kept":
    keep_freed_memory()
np.ones(1 << 22).sum()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(1 << 22).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt") or not hasattr(resource, "RUSAGE_SELF"),
    reason="another C library than glibc",
)
def test_memory_that_was_freed_is_not_fetched_again() -> None:
    root = str(Path(__file__).parents[2])
    default, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, root, how],
                           check=True, capture_output=True, text=True).stdout)
        for how in ("default", "kept")
    )  # fmt: skip
    assert kept < default / 4
