"""CPU time of `atb --help` above bare Python: the median of alternating runs."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys

from benchmarks.shared.record import machine, write_result

RUNS = 15


def cpu_seconds(*words: str) -> float:
    """CPU time, user and system, of one Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env={**os.environ}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def main() -> None:
    """Time both, one after the other, and write the result."""
    started = machine()
    bare, face = [], []
    for _ in range(RUNS):
        bare.append(cpu_seconds("-c", "pass"))
        face.append(cpu_seconds("-m", "atb", "--help"))
    above = [b - a for a, b in zip(bare, face, strict=True)]
    figures = {
        "runs": RUNS,
        "bare_python_seconds": statistics.median(bare),
        "help_seconds": statistics.median(face),
        "above_seconds": {
            "median": statistics.median(above),
            "least": min(above),
            "most": max(above),
        },
    }
    path = write_result("help_time", figures, started)
    print(
        f"atb --help: {figures['above_seconds']['median']:.3f} s of CPU above bare Python; {path}"
    )


if __name__ == "__main__":
    main()
