"""AutoTinyBERT: measure, predict and search the best small BERT for a device.

    measurements = atb.profile("local", space="mini", samples=60, db="profile.db")
    predictor = atb.fit(measurements)
    result = atb.search(predictor, latency="6ms")
    result.winner.save("model")

Each public name is loaded when it is first asked for, so that `import atb` costs nothing.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from lazy_loader import attach_stub

#: What keeps libraries from reporting their use over the network. They read it once, as they are
#: imported, so it is set before anything of ours imports one; worker processes inherit it.
_NO_TELEMETRY = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # transformers, datasets
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime, whose reports also take a database and a thread
    "RAY_USAGE_STATS_ENABLED": "0",
}
os.environ.update(_NO_TELEMETRY)

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)


class _Package(ModuleType):
    """This package, in which `atb.search` stays the function when the stage is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
