r"""Every runtime and precision on this machine: known architectures, and a predictor for each.

BERT-base, the paper's KD-S1 to KD-S4, TinyBERT-4 and MiniLM-6 in each runtime and precision, one
thread, sequences of 128, with their intervals. Then architectures of `kd` are measured, and a
predictor from 30 and from 50 of them is judged by twenty of those left over, over random splits;
some are measured once more in a second campaign, and how far the two lie apart tells the noise.
Runtimes that lower or compile for half a minute and more get the table only. The file of results is
written after every row, and the same command goes on; `--only` does some runtimes, `--seed` other
architectures of `kd`, and `--result` keeps what is there of another machine.

    python -m benchmarks.measuring.runtimes --db FILE
    python -m benchmarks.measuring.runtimes --db FILE --only litert,executorch \
        --result runtimes_mobile
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.contract import Device, Runtime
from atb.devices.registry import find_device
from atb.devices.runtimes.artefacts import ArtefactCache, CachedRuntime, default_folder
from atb.devices.settings import RunSettings
from atb.errors import AtbError
from atb.models.published import PUBLISHED
from atb.models.space import SPACES
from atb.predictor.evaluation import Evaluation, evaluate
from atb.predictor.latency_fit import fit
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.measurement import Measurement
from benchmarks.shared.record import machine, write_result

NAMES = ("bert-base", "kd-s1", "kd-s2", "kd-s3", "kd-s4", "tinybert-4", "minilm-6")
#: Runtimes of which an architecture takes half a minute and more to prepare.
SLOW = ("executorch", "torch-compiled")
LEARN_FEW, LEARN, TEST, AGAIN, SPLITS = 30, 50, 20, 20, 20
HOW = {"launches": 4, "repeats": 1, "wait_seconds": 5.0}


@dataclass(frozen=True)
class Pair:
    """A runtime in a precision."""

    device: Device
    runtime: Runtime
    settings: RunSettings

    def __str__(self) -> str:
        return f"{self.runtime.name} {self.settings.precision}"

    def measure(self, database: ProfileDatabase, plan: Plan) -> list[Measurement]:
        """A campaign, or what is there of it."""
        found = run_campaign(self.device, self.runtime, self.settings, plan, database)
        return list(found.measurements)


def main() -> None:
    """The table of all that is quick, their predictors, and then the table of what is slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument(
        "--only", default="", help="Runtimes to time, separated by commas; all by default."
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Seed that draws the architectures of kd."
    )
    parser.add_argument("--result", default="runtimes", help="Name of the result file.")
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    device = find_device("local")
    if unknown := set(only) - set(device.runtimes):
        parser.error(f"--only {min(unknown)}: there are {', '.join(device.runtimes)} here")
    learn = partial(predicted, seed=arguments.seed)
    started = machine()
    figures: dict[str, Any] = {"rows": {}}
    pairs = [pair for pair in pairs_of(device) if not only or pair.runtime.name in only]
    quick = [pair for pair in pairs if pair.runtime.name not in SLOW]
    steps = [
        *((known, pair) for pair in quick),
        *((learn, pair) for pair in quick),
        *((known, pair) for pair in pairs if pair not in quick),
    ]
    with ProfileDatabase(arguments.db, create=True) as database:
        for step, pair in steps:
            row = figures["rows"].setdefault(str(pair), {"version": pair.runtime.version})
            try:
                row.update(step(database, pair))
            except AtbError as error:  # one runtime that fails spoils no other
                row["error"] = str(error)
            print(pair, row, flush=True)
            path = write_result(arguments.result, figures, started)
    print(path)


def pairs_of(device: Device) -> Iterator[Pair]:
    """All that is installed here; what is slow to build is built once."""
    cache = ArtefactCache(default_folder() or Path("artefacts"), 8 * 10**9, print)
    for found in device.runtimes.values():
        runtime = CachedRuntime(found, cache) if found.name in SLOW else found
        for precision in runtime.precisions:
            yield Pair(device, runtime, RunSettings(precision=precision))


def known(database: ProfileDatabase, pair: Pair) -> dict[str, Any]:
    """The table of known architectures."""
    plan = Plan(tuple(PUBLISHED[name] for name in NAMES), name="known", within=0.02, **more())
    found = {m.architecture: m for m in pair.measure(database, plan)}
    return {
        "build_seconds": None if pair.runtime.name in SLOW else build_seconds(pair),
        "known": {
            name: told(found[PUBLISHED[name]]) if PUBLISHED[name] in found else None
            for name in NAMES
        },
    }


def more() -> dict[str, Any]:
    """How the table is measured, beside its precision."""
    return {"most_launches": 8, "wait_seconds": HOW["wait_seconds"]}


def build_seconds(pair: Pair) -> float:
    """What it takes to make the artefact of TinyBERT-4's shape; the best of three."""
    taken = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            pair.runtime.build(PUBLISHED["tinybert-4"], pair.settings, Path(folder))
            taken.append(time.perf_counter() - begin)
    return round(min(taken), 3)


def told(measurement: Measurement) -> dict[str, Any]:
    """Latency with its interval."""
    return {
        "latency_seconds": measurement.latency_seconds,
        "interval_seconds": list(measurement.interval_seconds),
        "estimator": measurement.estimator,
        "flagged": measurement.flagged,
    }


def predicted(database: ProfileDatabase, pair: Pair, seed: int) -> dict[str, Any]:
    """Errors of predictors on what they have not seen, and what two campaigns differ by."""
    name = f"kd-seed-{seed}" if seed else "kd"
    plan = Plan.sample(SPACES["kd"], LEARN + TEST, name=name, seed=seed, **HOW)
    first = pair.measure(database, plan)
    some = replace(plan, subjects=plan.subjects[:AGAIN], name=f"{name}-again")
    second = pair.measure(database, some)
    return {
        "noise": noise(first, second),
        "predictor": {
            str(rows): judged(TrainingSet.from_measurements(first), rows)
            for rows in (LEARN_FEW, LEARN)
        },
    }


def noise(first: Sequence[Measurement], second: Sequence[Measurement]) -> dict[str, Any]:
    """Mean absolute difference of two campaigns over the root of two."""
    again = {m.architecture: m for m in second if m.usable}
    pairs = [(m, again[m.architecture]) for m in first if m.architecture in again and m.usable]
    apart = [abs(np.log(b.latency_seconds / a.latency_seconds)) for a, b in pairs]
    return {"pairs": len(pairs), "mean": round(float(np.mean(apart)) / 2**0.5, 5)}


def judged(measured: TrainingSet, rows: int) -> dict[str, Any]:
    """Mean over random splits: so many to learn from, twenty others to be judged by."""
    found: list[Evaluation] = []
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(measured))
        predictor = fit(measured.take(order[:rows]), np.random.default_rng(split))
        found.append(evaluate(predictor, measured.take(order[rows : rows + TEST])))
    return {
        "splits": SPLITS,
        **{
            name: round(float(np.mean([getattr(one, name) for one in found])), 5)
            for name in ("mape", "within_5", "within_10", "spearman", "interval_coverage")
        },
        "mape_of_splits": [round(one.mape, 5) for one in found],
    }


if __name__ == "__main__":
    main()
