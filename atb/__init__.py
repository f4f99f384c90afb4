"""AutoTinyBERT: measure, predict and search the best small BERT for a device.

The names below are the public face; each is loaded when it is first asked for, so that
`import atb` costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

#: What keeps libraries from reporting their use over the network. They read it once, as they are
#: imported, so it is set before anything of ours imports one; worker processes inherit it.
_NO_TELEMETRY = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # transformers, datasets
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime, whose reports also take a database and a thread
    "RAY_USAGE_STATS_ENABLED": "0",
}
os.environ.update(_NO_TELEMETRY)

_FACE = {
    "Architecture": "atb.models.architecture",
    "AtbError": "atb.errors",
    "Conditions": "atb.profiler.conditions",
    "KNOWN": "atb.models.published",
    "Measurement": "atb.profiler.statistics.measurement",
    "PUBLISHED": "atb.models.published",
    "ProfileDatabase": "atb.profiler.database.writer",
    "RunSettings": "atb.devices.settings",
    "SPACES": "atb.models.space",
    "SearchSpace": "atb.models.space",
}

__all__ = sorted(_FACE)  # noqa: PLE0605
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'atb' has no attribute {name!r}")
    return getattr(importlib.import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
