"""How well latencies of this machine are predicted, from ten, fifty and three hundred measurements.

Measured: architectures of `kd` in onnxruntime on one thread (300 to learn from, 150 to be judged
by), of `mlm` as a second set to be judged by, and of `kd` on two threads, in int8 and in PyTorch. A
part is measured in a second campaign: how far the two lie apart tells the noise. From these
numbers: errors beside those of what others predict with, coverage of the intervals, transfer to
each set of conditions from the others, chosen against random measurements, and extrapolation.
Labels of what is judged are used for judging only. The same command goes on where it was
interrupted; `figures.json` in its folder keeps what was judged.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.models.space import SPACES
from atb.predictor.baselines.baselines import WorkTerms, architecture_baselines
from atb.predictor.baselines.comparison import PredictorScore, compare
from atb.predictor.evaluation import Evaluation
from atb.predictor.fitting.basis import IntArray, Observations
from atb.predictor.fitting.features import architecture_basis, columns_of
from atb.predictor.fitting.fitting import fit_model
from atb.predictor.latency_fit import fit
from atb.predictor.sampling.choosing import choose_rows
from atb.predictor.training_set import TrainingSet
from atb.predictor.transfer import transfer_predictor
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.measurement import Measurement
from benchmarks.predicting.errors import mean_of
from benchmarks.shared.record import machine, write_result

DRAWS = 20
COVERAGE_SPLITS = 50
#: As published takes minutes for each fit on two cores.
SLOW_BASELINES = ("autotinybert",)


@dataclass(frozen=True)
class Part:
    """A campaign.

    Attributes:
        name: Of the campaign.
        space: Where architectures come from.
        samples: How many.
        runtime: With what they run.
        settings: How they run.
        seed: Of the samples.
    """

    name: str
    space: str
    samples: int
    runtime: str
    settings: RunSettings = field(default_factory=RunSettings)
    seed: int = 0


LEARN, TEST = 300, 150
MAIN = Part("kd", "kd", LEARN + TEST, "onnxruntime")
PARTS = (
    MAIN,
    Part("kd-again", "kd", 60, "onnxruntime"),
    Part("mlm", "mlm", 100, "onnxruntime", seed=1),
    Part("two-threads", "kd", 150, "onnxruntime", RunSettings(threads=2), seed=2),
    Part("int8", "kd", 150, "onnxruntime", RunSettings(precision="int8"), seed=3),
    Part("torch", "kd", 150, "torch", seed=4),
)


def measured(
    device_name: str, database: ProfileDatabase, part: Part, share: float
) -> list[Measurement]:
    """A campaign, or what is there of it."""
    device = find_device(device_name)
    runtime = find_runtime(device, None if device_name == "fake" else part.runtime)
    count = max(24, round(share * part.samples))
    plan = Plan.sample(SPACES[part.space], count, seed=part.seed, name=part.name)
    result = run_campaign(device, runtime, part.settings, plan, database)
    print(f"{part.name}: {len(result.measurements)} measured", flush=True)
    return list(result.measurements)


def noise_of(first: Sequence[Measurement], second: Sequence[Measurement]) -> dict[str, Any]:
    """Mean absolute difference of two campaigns over the root of two, unflagged ones."""
    again = {m.architecture: m for m in second if not m.flagged}
    pairs = [(m, again[m.architecture]) for m in first if m.architecture in again and not m.flagged]
    apart = [abs(np.log(b.latency_seconds / a.latency_seconds)) for a, b in pairs]
    return {"pairs": len(pairs), "noise_percent": round(100 * float(np.mean(apart)) / 2**0.5, 3)}


def with_baselines(
    learn: TrainingSet, test: TrainingSet, settings: RunSettings, sizes: Sequence[int]
) -> dict[str, Any]:
    """All regressors on the same random draws, judged by the same rows."""
    both = joined(learn, test).observations
    judged = np.arange(len(learn), len(both))
    pairs = [(np.random.default_rng(d).permutation(len(learn)), judged) for d in range(DRAWS)]
    return judged_baselines(both, pairs, settings, sizes)


def with_baselines_within(part: TrainingSet, size: int) -> dict[str, Any]:
    """All regressors on the same random splits of one set: `size` rows fit, the rest judge."""
    orders = [np.random.default_rng(d).permutation(len(part)) for d in range(DRAWS)]
    pairs = [(order[:size], order[size:]) for order in orders]
    return judged_baselines(part.observations, pairs, part.conditions.settings, [size])


def judged_baselines(
    both: Observations,
    pairs: Sequence[tuple[IntArray, IntArray]],
    settings: RunSettings,
    sizes: Sequence[int],
) -> dict[str, Any]:
    """Mean figures of all regressors, by number of rows and name."""
    basis = architecture_basis(settings)
    baselines = {
        name: p for name, p in architecture_baselines().items() if name not in SLOW_BASELINES
    }
    found: list[PredictorScore] = []
    for name, regressor in {"atb": WorkTerms([basis]), **baselines}.items():
        some = pairs[:3] if name == "hat" else pairs  # twenty seconds for each fit
        found += compare(both, {name: regressor}, sizes, some)
    return {
        str(size): {
            name: mean_of([f.evaluation for f in found if (f.name, f.rows) == (name, size)])
            for name in ("atb", *baselines)
        }
        for size in sizes
    }


def coverage(everything: TrainingSet, size: int) -> dict[str, float]:
    """Of ninety-percent intervals on unseen rows, over random splits."""
    observed = everything.observations
    basis = architecture_basis(everything.conditions.settings)
    inside = []
    for split in range(COVERAGE_SPLITS):
        order = np.random.default_rng(split).permutation(len(observed))
        model = fit_model([basis], observed.take(order[:size]), np.random.default_rng(split)).model
        unseen = observed.take(order[size:])
        inside.append(Evaluation.of(model.estimate(unseen.rows), unseen.values).interval_coverage)
    return {"learned_from": size, "mean": round(float(np.mean(inside)), 4)}


def transfers(sets: Mapping[str, TrainingSet], samples: int) -> dict[str, Any]:
    """Each set of conditions from a few of its measurements and the others' predictors."""
    figures: dict[str, Any] = {}
    for name, target in sets.items():
        known = [fit(other, np.random.default_rng(0)) for key, other in sets.items() if key != name]
        evaluations, covered = [], []
        for draw in range(DRAWS):
            order = np.random.default_rng(draw).permutation(len(target))
            few, unseen = target.take(order[:samples]), target.take(order[samples:])
            found = transfer_predictor(known, few, coverage=0.9)[0].model.estimate(unseen.rows)
            evaluations.append(Evaluation.of(found, unseen.seconds))
            covered.append(evaluations[-1].interval_coverage)
        figures[name] = {
            **mean_of(evaluations),
            "interval_coverage": round(float(np.mean(covered)), 3),
        }
    return figures


def chosen(learn: TrainingSet, test: TrainingSet) -> dict[str, Any]:
    """Error from chosen rows, each by the coefficients of the fit before, and from random ones."""
    basis = architecture_basis(learn.conditions.settings)

    def error(index: IntArray) -> float:
        model = fit_model([basis], learn.observations.take(index), np.random.default_rng(0)).model
        found = model.estimate(test.rows).values
        return float(np.mean(np.abs(found / test.seconds - 1)))

    random = {
        count: [
            error(np.random.default_rng(d).permutation(len(learn))[:count]) for d in range(DRAWS)
        ]
        for count in (12, 20, 30, 50)
    }
    ours: dict[int, list[float]] = {12: [], 20: [], 30: []}
    for draw in range(DRAWS):
        # each draw chooses from another part of what was measured
        pool = np.random.default_rng(100 + draw).permutation(len(learn))[: len(learn) * 2 // 3]
        picked = pool[choose_rows(basis, learn.rows[:0], learn.rows[pool], 12)]
        while True:
            if len(picked) in ours:
                ours[len(picked)].append(error(picked))
            if len(picked) >= 30:
                break
            model = fit_model(
                [basis], learn.observations.take(picked), np.random.default_rng(0)
            ).model
            left = np.setdiff1d(pool, picked)
            more = choose_rows(basis, learn.rows[picked], learn.rows[left], 2, model.coefficients)
            picked = np.concatenate([picked, left[more]])
    return {
        name: {n: round(100 * float(np.mean(errors)), 3) for n, errors in found.items()}
        for name, found in (("random", random), ("chosen", ours))
    }


def extrapolation(everything: TrainingSet) -> dict[str, Any]:
    """Learned from small models, judged by those outside."""
    c = columns_of(everything.rows)
    small = (c.layers <= 6) & (c.hidden <= 384)
    inner, outer = everything.take(np.flatnonzero(small)), everything.take(np.flatnonzero(~small))
    predictor = fit(inner, np.random.default_rng(0))
    found = predictor.model.estimate(outer.rows)
    evaluation = Evaluation.of(found, outer.seconds)
    return {
        "learned_from": len(inner),
        **mean_of([evaluation]),
        "flagged_as_outside": round(1 - float(found.supported.mean()), 4),
    }


def joined(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """Both as one."""
    return replace(
        first,
        rows=np.concatenate([first.rows, second.rows]),
        seconds=np.concatenate([first.seconds, second.seconds]),
        half_widths=np.concatenate([first.half_widths, second.half_widths]),
        further={},
    )


def main() -> None:
    """Measure what is missing, then judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("atb-runs/predicting"))
    parser.add_argument(
        "--device", default="local", help="Device to measure; `fake` only tries this script."
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="Share of the samples to measure, for a trial."
    )
    arguments = parser.parse_args()
    started = machine()
    with ProfileDatabase(str(arguments.folder / "profile.db"), create=True) as database:
        found = {
            part.name: measured(arguments.device, database, part, arguments.share) for part in PARTS
        }
    sets = {name: TrainingSet.from_measurements(found[name]) for name in found}
    main_set = sets["kd"]
    learned = round(len(main_set) * LEARN / (LEARN + TEST))
    learn = main_set.take(np.arange(learned))
    test = main_set.take(np.arange(learned, len(main_set)))
    sizes = [n for n in (10, 50, 300) if n < learned] + ([learned] if learned < 300 else [])
    settings = MAIN.settings
    conditions = {name: sets[name] for name in ("kd", "two-threads", "int8", "torch")}

    def other(name: str) -> dict[str, Any]:
        return with_baselines_within(sets[name], min(50, len(sets[name]) // 3))

    parts: dict[str, Callable[[], Any]] = {
        "noise": lambda: noise_of(found["kd"], found["kd-again"]),
        "flagged": lambda: {
            name: round(float(np.mean([m.flagged for m in part])), 3)
            for name, part in found.items()
        },
        "kd": lambda: with_baselines(learn, test, settings, sizes),
        "mlm": lambda: with_baselines(learn, sets["mlm"], settings, [min(50, learned), sizes[-1]]),
        "two-threads": lambda: other("two-threads"),
        "int8": lambda: other("int8"),
        "torch": lambda: other("torch"),
        "coverage": lambda: {
            name: [coverage(part, size) for size in (20, 50) if 2 * size < len(part)]
            for name, part in conditions.items()
        },
        "transfer_from_ten": lambda: transfers(conditions, 10),
        "chosen": lambda: chosen(learn, test),
        "extrapolation": lambda: extrapolation(joined(main_set, sets["mlm"])),
    }
    ledger = arguments.folder / "figures.json"
    figures = json.loads(ledger.read_text("utf-8")) if ledger.is_file() else {}
    for name, judge in parts.items():
        if name not in figures:
            figures[name] = judge()
            ledger.write_text(json.dumps(figures), "utf-8")
            print(f"{name} judged", flush=True)
    print(json.dumps(figures, indent=1))
    if arguments.device == "local" and arguments.share == 1.0:
        print(f"written: {write_result('predicting', figures, started)}")


if __name__ == "__main__":
    main()
