"""Do measurements that a busy machine forced us to correct make a predictor better or worse?

From a campaign in which many measurements are flagged because the machine was off its level, the
sound ones are held out in folds and predicted by three fits: of the other sound ones alone, of all
others (each counts by the width of its interval), and of as many flagged ones as there are sound.

    atb profile --samples 120 --db FILE      (on a machine with busy tenants)
    python -m benchmarks.predicting.flagged_rows --db FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atb.predictor.latency_fit import fit
from atb.predictor.training_set import TrainingSet
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.measurements import read_measurements
from atb.profiler.statistics.measurement import Measurement
from benchmarks.shared.record import machine, write_result

FOLDS = 13


def relative_errors(known: Sequence[Measurement], held: Sequence[Measurement]) -> list[float]:
    """Of predictions of those held out, by a fit on those known."""
    predictor = fit(TrainingSet.from_measurements(known), np.random.default_rng(0))
    found = predictor.predict_architectures([m.architecture for m in held]).latency_seconds
    return [float(f / m.latency_seconds - 1) for f, m in zip(found, held, strict=True)]


def main() -> None:
    """Fit and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", type=Path, required=True)
    started = machine()
    with ProfileDatabase(parser.parse_args().db) as database:
        every = [m for m in read_measurements(database) if m.usable]
    sound = [m for m in every if not m.flagged]
    flagged = [m for m in every if m.flagged]
    rng = np.random.default_rng(0)
    errors: dict[str, list[float]] = {"sound": [], "all": [], "as_many_flagged": []}
    for fold in range(FOLDS):
        held = sound[fold::FOLDS]
        others = [m for m in sound if m not in held]
        drawn = rng.choice(len(flagged), min(len(others), len(flagged)), replace=False)
        for name, known in (
            ("sound", others),
            ("all", [*others, *flagged]),
            ("as_many_flagged", [flagged[place] for place in drawn]),
        ):
            errors[name] += relative_errors(known, held)
    figures = {
        "measurements": len(every),
        "flagged": len(flagged),
        "median_slowdown_of_flagged": round(float(np.median([m.slowdown for m in flagged])), 3),
        "median_half_width_percent": {
            name: round(100 * float(np.median([m.estimate.relative_half_width for m in part])), 2)
            for name, part in (("sound", sound), ("flagged", flagged))
        },
        "held_out_error_percent": {
            name: {
                "mean": round(100 * float(np.abs(found).mean()), 2),
                "bias": round(100 * float(np.mean(found)), 2),
            }
            for name, found in errors.items()
        },
    }
    print(figures)
    print(write_result("flagged_rows", figures, started))


if __name__ == "__main__":
    main()
