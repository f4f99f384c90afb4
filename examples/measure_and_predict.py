"""Measure a few architectures, fit a predictor, and ask it about ones that were never measured.

Runs on the simulated device in seconds; `find_device("local")` measures this machine instead.

Run it by `python examples/measure_and_predict.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from atb.devices import RunSettings, find_device
from atb.devices.runtimes import find_runtime
from atb.models import PUBLISHED, SPACES
from atb.predictor import TrainingSet, fit
from atb.profiler.campaign import Plan, run_campaign
from atb.profiler.database import ProfileDatabase


def main() -> None:
    """Profile, fit, predict."""
    device = find_device("fake")
    runtime = find_runtime(device)
    plan = Plan.sample(SPACES["mini"], 20)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProfileDatabase(Path(folder) / "profile.db", create=True) as database,
    ):
        result = run_campaign(device, runtime, RunSettings(), plan, database)
    predictor = fit(TrainingSet.from_measurements(result.measurements), np.random.default_rng(0))
    asked = ["tinybert-4", "kd-s4", "minilm-6"]
    prediction = predictor.predict_architectures([PUBLISHED[name] for name in asked])
    for name, seconds in zip(asked, prediction.latency_seconds, strict=True):
        print(f"{name}: {1e3 * seconds:.2f} ms")


if __name__ == "__main__":
    main()
