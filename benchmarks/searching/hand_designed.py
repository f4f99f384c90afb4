"""Are searched shapes better than hand-designed ones that take as long?

Two hand-designed shapes that fit `mini`, whose heads are of 32 at most (TinyBERT-4, and the one
that AutoTinyBERT's authors set beside KD-S4, L4-H192 with twelve heads), are measured, and for each
a shape that takes as long is searched by the default method and proxy, until both, measured in one
campaign, lie within 2 %. Then each of them is extracted from the SuperPLM, trained further by a
short budget and by a long one, and fine-tuned on CoLA, MRPC, RTE and a part of SST-2 alike, with
eight seeds. What counts is the difference of the mean over the tasks, with a bootstrap over
development rows and seeds, the same drawn for both. The first call measures and must be alone on
the machine; `--part 1/16` to `--part 16/16`, or fewer, share the training, best on a GPU; the last
call compares.

    python -m benchmarks.searching.hand_designed --glue FOLDER --data SHARDS --out FOLDER
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from atb.devices.registry import find_device, find_runtime
from atb.devices.settings import RunSettings
from atb.errors import RunError
from atb.models.architecture import Architecture
from atb.models.published import PUBLISHED
from atb.models.space import SPACES
from atb.models.superplm.bundled import load_superplm
from atb.predictor.latency_fit import fit
from atb.predictor.predictor import WorkPredictor
from atb.predictor.training_set import TrainingSet
from atb.profiler.campaign.campaign import run_campaign
from atb.profiler.campaign.plan import Plan
from atb.profiler.database.writer import ProfileDatabase
from atb.profiler.statistics.measurement import Measurement
from atb.search.constraints.candidates import on_search_grid
from atb.search.constraints.latency import LatencyLimit
from atb.search.request import SearchRequest
from atb.search.run import search
from atb.search.scoring.proxy import DistillationProxy
from atb.search.targets import Target
from atb.search.verifier import Verifier
from atb.training.finetuning.task_names import find_task
from benchmarks.searching.stand_alone import FOLDERS, Further, Job, add_arguments, alone, do_jobs
from benchmarks.shared.paths import RESULTS
from benchmarks.shared.record import machine, write_result

SPACE = SPACES["mini"]
JOBS = RESULTS / "hand_designed_jobs.json"
HAND_DESIGNED = ("tinybert-4", "kd-s4-hand")
SAMPLES, SEEDS = 100, range(8)
WINDOW, EQUAL, MOST_TRIES = (0.97, 1.0), 0.02, 4
#: Of text seen once more by each shape alone: 0.4 million tokens, and 41 million.
BUDGETS = {"short": Further(), "long": Further(2500, 128)}
DRAWS = 2000

_Numbers = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.int64]


def main() -> None:
    """Measure and search, train what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    started = machine()
    if JOBS.is_file():
        kept = json.loads(JOBS.read_text("utf-8"))
    else:
        arguments.out.mkdir(parents=True, exist_ok=True)
        kept = {"pairs": pairs(arguments.out), "found": {}}
        JOBS.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    all_jobs = list(jobs(kept["pairs"], arguments))
    known = do_jobs(all_jobs, kept["found"], arguments)
    if arguments.collect or arguments.part == "1/1":
        JOBS.write_text(json.dumps({**kept, "found": known}, indent=1) + "\n", "utf-8")
    if len(known) < len(all_jobs):
        return
    figures = {
        "settings": {name: further.budget for name, further in BUDGETS.items()},
        "trained_on": sorted({found["on"] for found in known.values()}),
        "hours": round(sum(found["seconds"] for found in known.values()) / 3600, 2),
        "pairs": {
            name: pair | {b: compared(pair, known, b, arguments.glue) for b in BUDGETS}
            for name, pair in kept["pairs"].items()
        },
    }
    print(json.dumps(figures["pairs"], indent=1))
    print(write_result("hand_designed", figures, started))


def pairs(out: Path) -> dict[str, Any]:
    """Each hand-designed shape with a searched one that takes as long."""
    device = find_device("local")
    runtime, settings = find_runtime(device), RunSettings()
    superplm = load_superplm("mini")
    for name in HAND_DESIGNED:
        superplm.check(PUBLISHED[name])
    proxy = DistillationProxy(superplm)
    found: dict[str, Any] = {}
    with ProfileDatabase(out / "profile.db", create=True) as database:

        def measure(plan: Plan) -> dict[Architecture, Measurement]:
            measured = run_campaign(device, runtime, settings, plan, database).measurements
            return {m.architecture: m for m in measured if m.architecture is not None}

        samples = measure(Plan.sample(SPACE, SAMPLES, name="samples"))
        predictor = fit(
            TrainingSet.from_measurements(list(samples.values())), np.random.default_rng(0)
        )
        verifier = Verifier(device, runtime, settings, database)

        def searched(limit: float, folder: str) -> Architecture:
            return _searched(limit, predictor, proxy, verifier, out / folder)

        for name in HAND_DESIGNED:
            found[name] = _pair(name, measure, searched)
            print(name, found[name], flush=True)
    return found


def _searched(
    limit: float,
    predictor: WorkPredictor,
    proxy: DistillationProxy,
    verifier: Verifier,
    folder: Path,
) -> Architecture:
    request = SearchRequest(
        on_search_grid(SPACE, largest=SPACE.largest),
        LatencyLimit(limit, WINDOW),
        largest=SPACE.largest,
    )
    return search(request, [Target(predictor, verifier)], proxy, folder).winner.architecture


def _pair(
    name: str,
    measure: Callable[[Plan], dict[Architecture, Measurement]],
    searched: Callable[[float, str], Architecture],
) -> dict[str, Any]:
    """Search with the limit moved until both take as long."""
    hand = PUBLISHED[name]
    limit = measure(Plan((hand,), name=name, within=0.01))[hand].latency_seconds
    for number in range(MOST_TRIES):
        ours = searched(limit, f"{name}-{number}")
        both = measure(Plan((hand, ours), name=f"{name}-{number}", within=0.01))
        ratio = both[ours].latency_seconds / both[hand].latency_seconds
        print(name, number, ours, f"{ratio:.4f}", flush=True)
        if abs(ratio - 1) <= EQUAL:
            return {
                side: {
                    "architecture": str(architecture),
                    "latency_seconds": both[architecture].latency_seconds,
                    "interval_seconds": list(both[architecture].interval_seconds),
                }
                for side, architecture in (("hand", hand), ("searched", ours))
            } | {"ratio": round(ratio, 4)}
        limit /= ratio
    raise RunError(f"No shape that takes as long as {name} was found in {MOST_TRIES} searches.")


def jobs(found: dict[str, Any], arguments: argparse.Namespace) -> Iterator[Job]:
    """All that is to be trained: one budget, and one seed, after the other."""
    superplm = load_superplm("mini")
    shapes = [
        pair[side]["architecture"] for pair in found.values() for side in ("hand", "searched")
    ]
    for (name, further), seed in itertools.product(BUDGETS.items(), SEEDS):
        for number, (shape, task) in enumerate(itertools.product(shapes, FOLDERS)):
            run = functools.partial(
                alone,
                superplm,
                Architecture.parse(shape),
                task,
                seed=seed,
                arguments=arguments,
                further=further,
            )
            yield Job(f"{name} {shape} {task} {seed}", number, run)


def compared(
    pair: dict[str, Any], known: dict[str, Any], budget: str, glue: Path
) -> dict[str, Any]:
    """Scores of both, and the difference of their means with its interval, in points."""
    shapes = {side: pair[side]["architecture"] for side in ("hand", "searched")}
    answers = {
        side: {
            task: np.array(
                [[*map(int, known[f"{budget} {shape} {task} {seed}"]["answers"])] for seed in SEEDS]
            )
            for task in FOLDERS
        }
        for side, shape in shapes.items()
    }
    labels = {
        task: np.array([row["label"] for row in find_task(task).read(str(glue / f), "dev").rows])
        for task, f in FOLDERS.items()
    }
    by_task = {
        task: {side: scores(task, labels[task], answers[side][task]).tolist() for side in answers}
        for task in FOLDERS
    }
    rng = np.random.default_rng(0)
    drawn = np.empty((DRAWS, len(FOLDERS)))
    for draw in range(DRAWS):
        seeds = rng.integers(len(SEEDS), size=len(SEEDS))
        for column, task in enumerate(FOLDERS):
            rows = rng.integers(len(labels[task]), size=len(labels[task]))
            drawn[draw, column] = difference(
                task, labels[task][rows], {s: a[task][seeds][:, rows] for s, a in answers.items()}
            )
    means = {
        task: difference(task, labels[task], {side: a[task] for side, a in answers.items()})
        for task in FOLDERS
    }
    return {
        "scores_by_seed": by_task,
        "difference": {task: round(value, 2) for task, value in means.items()},
        "difference_of_means": round(float(np.mean([*means.values()])), 2),
        "interval": np.quantile(drawn.mean(axis=1), [0.025, 0.975]).round(2).tolist(),
    }


def difference(task: str, labels: _Labels, answers: dict[str, _Labels]) -> float:
    """Points by which the searched shape is better, the mean over seeds."""
    ours, hand = (scores(task, labels, answers[side]).mean() for side in ("searched", "hand"))
    return float(100 * (ours - hand))


def scores(task: str, labels: _Labels, answers: _Labels) -> _Numbers:
    """The task's score of each seed's answers: Matthews' correlation for CoLA, else accuracy."""
    if task != "cola":
        return np.asarray((answers == labels).mean(axis=1))
    centred, truth = answers - answers.mean(axis=1, keepdims=True), labels - labels.mean()
    spread = np.sqrt((centred**2).sum(axis=1) * (truth**2).sum())
    return np.asarray((centred * truth).sum(axis=1) / np.where(spread > 0, spread, 1.0))


if __name__ == "__main__":
    main()
