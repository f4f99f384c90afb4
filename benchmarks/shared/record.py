"""Writes a benchmark's result file: figures with machine, versions, date and command."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.shared.paths import RESULTS, ROOT

_LIBRARIES = ("autotinybert", "numpy", "onnx", "onnxruntime", "torch", "transformers")


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    from atb.devices.registry import find_device

    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "machine": dict(find_device("local").platform),
        "versions": {"python": platform.python_version(), **versions},
        "load_before": os.getloadavg()[0],
    }


def _without_folders(argument: str) -> str:
    return Path(argument).name if argument.startswith("/") else argument


def write_result(name: str, figures: Mapping[str, Any], started: Mapping[str, Any]) -> Path:
    """Write `results/NAME.json`.

    Args:
        name: Of the benchmark.
        figures: What it found.
        started: What `machine()` told before it began.
    """
    document = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        # paths of the machine that made it mean nothing elsewhere
        "command": " ".join(
            [
                "python -m",
                ".".join(Path(sys.argv[0]).resolve().relative_to(ROOT).with_suffix("").parts),
                *(_without_folders(a) for a in sys.argv[1:]),
            ]
        ),
        **started,
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return path
