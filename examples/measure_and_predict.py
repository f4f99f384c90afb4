"""Measure a few architectures, fit a predictor, and ask it about ones that were never measured.

Runs on the simulated device in seconds; the device `local` measures this machine instead.

Run it by `python examples/measure_and_predict.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import atb


def main() -> None:
    """Profile, fit, predict."""
    with tempfile.TemporaryDirectory() as folder:
        measured = atb.profile("fake", space="mini", samples=20, db=Path(folder) / "profile.db")
    predictions = atb.fit(measured).predict(["tinybert-4", "kd-s4", "minilm-6"])
    for name, seconds in zip(predictions.names, predictions.values, strict=True):
        print(f"{name}: {1e3 * seconds:.2f} ms")


if __name__ == "__main__":
    main()
