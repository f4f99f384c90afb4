"""How fast are the paper's published architectures on this machine, beside BERT-base?

S1 to S4, KD-S1 to KD-S4 (AutoTinyBERT, ACL 2021) and the hand-designed shapes that its authors set
beside them, in float32 and int8, one thread, sequences of 128; their speed-ups over BERT-base next
to those of the paper, which its authors measured on another CPU in float32.

    python -m benchmarks.measuring.published --db FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.published import PUBLISHED
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.measurement import Measurement
from benchmarks.shared.record import machine, write_result

SIZES = ("s1", "s2", "s3", "s4", "kd-s1", "kd-s2", "kd-s3", "kd-s4")
NAMES = ("bert-base", *SIZES, *(f"{name}-hand" for name in SIZES), "tinybert-4", "minilm-6")
#: Speed-ups over BERT-base that the authors report, of a Xeon E7-4850 v2.
PAPER = {
    "s1": 7.2,
    "s2": 15.7,
    "s3": 20.2,
    "s4": 27.2,
    "kd-s1": 4.6,
    "kd-s2": 9.0,
    "kd-s3": 10.7,
    "kd-s4": 17.0,
}


def main() -> None:
    """Measure all of them in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--result", default="published", help="Name of the result file.")
    arguments = parser.parse_args()
    started = machine()
    device = find_device("local")
    plan = Plan(tuple(PUBLISHED[name] for name in NAMES), name="published", within=0.01)
    figures: dict[str, Any] = {}
    with ProfileDatabase(arguments.db, create=True) as database:
        for precision in ("fp32", "int8"):
            settings = RunSettings(precision=precision)
            found = run_campaign(device, find_runtime(device), settings, plan, database)
            measured = {m.architecture: m for m in found.measurements}
            figures[precision] = {
                name: told(name, measured[PUBLISHED[name]], measured[PUBLISHED["bert-base"]])
                for name in NAMES
                if PUBLISHED[name] in measured
            }
            for name, row in figures[precision].items():
                print(precision, name, row, flush=True)
    print(write_result(arguments.result, figures, started))


def told(name: str, measurement: Measurement, base: Measurement) -> dict[str, Any]:
    """Latency, and the speed-up with what both intervals leave open."""
    low, high = measurement.interval_seconds
    base_low, base_high = base.interval_seconds
    return {
        "architecture": str(measurement.architecture),
        "latency_seconds": measurement.latency_seconds,
        "interval_seconds": [low, high],
        "flagged": measurement.flagged,
        "speedup": round(base.latency_seconds / measurement.latency_seconds, 2),
        "speedup_interval": [round(base_low / high, 2), round(base_high / low, 2)],
        "speedup_in_the_paper": PAPER.get(name),
    }


if __name__ == "__main__":
    main()
