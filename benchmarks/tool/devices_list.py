"""Wall time of `atb devices list` in fresh processes, beside bare Python, and what is installed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from typing import Any

from benchmarks.shared.paths import ROOT
from benchmarks.shared.record import machine, write_result

RUNS = 20
#: What the answer may take.
LIMIT_SECONDS = 1.0
_PYPROJECT = ROOT / "pyproject.toml"
#: Extras of runtimes and transports; the base install has none of them.
_EXTRAS = ("executorch", "litert", "ncnn", "openvino", "ssh")


def wall_seconds(*words: str) -> float:
    """Of one Python process, from its start to its end."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env={**os.environ}
    )
    return time.perf_counter() - begun


def spread(seconds: list[float]) -> dict[str, float]:
    """The first one apart: its files may not have been in memory."""
    return {
        "first": seconds[0],
        "median": statistics.median(seconds[1:]),
        "least": min(seconds[1:]),
        "most": max(seconds[1:]),
    }


def extras() -> dict[str, dict[str, str | None]]:
    """What each extra brings, and the version that is installed; None for absent packages."""
    project = tomllib.loads(_PYPROJECT.read_text("utf-8"))["project"]
    return {
        extra: {
            name: _version(name)
            for name in (
                requirement.partition(">")[0]
                for requirement in project["optional-dependencies"][extra]
            )
        }
        for extra in _EXTRAS
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Time both, one after the other, and write the result."""
    started = machine()
    bare, listed = [], []
    for _ in range(RUNS + 1):
        bare.append(wall_seconds("-c", "pass"))
        listed.append(wall_seconds("-m", "atb", "devices", "list"))
    packages = extras()
    # a package of an extra may come with another one: flatbuffers does with onnxruntime
    installed = [extra for extra, brought in packages.items() if all(brought.values())]
    figures: dict[str, Any] = {
        "runs": RUNS,
        "base_install_only": not installed,
        "extras": packages,
        "bare_python_seconds": spread(bare),
        "devices_list_seconds": spread(listed),
        "limit_seconds": LIMIT_SECONDS,
        "within_limit": sum(seconds <= LIMIT_SECONDS for seconds in listed[1:]),
    }
    path = write_result("devices_list", figures, started)
    print(
        f"atb devices list: {figures['devices_list_seconds']['median']:.3f} s, "
        f"{figures['devices_list_seconds']['most']:.3f} s at most of {RUNS}; "
        f"bare Python {figures['bare_python_seconds']['median']:.3f} s; "
        f"extras installed: {', '.join(installed) or 'none'}; {path}"
    )


if __name__ == "__main__":
    main()
