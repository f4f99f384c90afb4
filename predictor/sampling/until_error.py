"""Measure, refit, choose what to measure next, until predictions are as good as was asked for.

The first architectures are chosen for what they tell of all work terms, the next for what is least
known after those. Held-out errors are of chosen architectures, which lie further out than random
ones, so that the error of random ones is rather smaller. The same command begins where an
interrupted one ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from atb.devices import Device, RunSettings, Runtime
from atb.errors import InputError
from atb.predictor import (
    LEAST_ROWS,
    TrainingSet,
    WorkPredictor,
    fit,
    held_out_seconds,
    refuse_emulated,
)
from atb.predictor.fitting import IntArray, architecture_at, architecture_basis, bases_of, rows_of
from atb.predictor.sampling.choosing import choose_rows
from atb.profiler import Conditions, read_measurements
from atb.profiler.campaign import CampaignResult, Plan, Progress, run_campaign
from atb.profiler.database import ProfileDatabase

#: Drawn from the space: to choose from, and what predictions are to be good for.
_POOL = 600
#: Measured before the first fit, and at a time from then on.
_FIRST, _AT_A_TIME = LEAST_ROWS + 2, 4


@dataclass(frozen=True, slots=True)
class SamplingStep:
    """The error of predictions after so many measurements.

    Attributes:
        measured: Number of usable measurements.
        error: Mean absolute relative error on rows held out in turn.
        doubt: Standard error of that mean.
    """

    measured: int
    error: float
    doubt: float


@dataclass(frozen=True, slots=True)
class UntilError:
    """Result of measuring until an error is reached.

    Attributes:
        result: Result of the campaign.
        predictor: Fitted on all of it.
        steps: After each fit, in order.
        reached: Whether the error, and its doubt beside it, is below the one asked for.
    """

    result: CampaignResult
    predictor: WorkPredictor
    steps: tuple[SamplingStep, ...]
    reached: bool


def require_enough(most: int) -> None:
    """Make sure that so many architectures carry a fit.

    Raises:
        InputError: They do not.
    """
    if most < _FIRST:
        raise InputError(f"{most} architectures cannot carry a fit: allow at least {_FIRST}.")


def measure_until(
    device: Device,
    runtime: Runtime,
    settings: RunSettings,
    plan: Plan,
    database: ProfileDatabase,
    *,
    error: float,
    most: int,
    progress: Progress | None = None,
    stepped: Callable[[SamplingStep], None] | None = None,
) -> UntilError:
    """Measure architectures of the plan's space until the error on unseen ones is small enough.

    Args:
        device: The device to measure on.
        runtime: The runtime that runs the models.
        settings: Settings of each run.
        plan: One with a space; its subjects are not read.
        database: A database opened with `create=True`.
        error: Mean absolute relative error that is wanted, as a share.
        most: How many architectures at most.
        progress: Called after every block with how many are done, and 0 since the total is unknown.
        stepped: Called after every fit with its error.

    Raises:
        InputError: The plan has no space, `most` cannot carry a fit, or the device is emulated.
        RunError: As `run_campaign`.
    """
    pool = _draw_pool(plan)
    require_enough(most)
    refuse_emulated(Conditions.of(device, runtime, settings))
    basis, _ = bases_of(architecture_basis(settings))
    chosen = choose_rows(basis, pool[:0], pool, _FIRST)
    show = None if progress is None else partial(_without_total, progress)
    steps: list[SamplingStep] = []
    while True:
        subjects = tuple(architecture_at(row) for row in pool[chosen])
        part = replace(plan, subjects=subjects)
        result = run_campaign(device, runtime, settings, part, database, progress=show)
        if not steps:
            before = _chosen_before(database, result.campaign, pool, chosen)
            if len(before) and len(chosen) < most:
                chosen = np.concatenate([chosen, before])[:most]
                steps = _steps_before(result, database, pool[chosen], plan.seed)
                continue
        ended = len(chosen) >= most or result.ended_by == "budget"
        coefficients = None
        if ended or len({m.architecture for m in result.measurements if m.usable}) >= LEAST_ROWS:
            predictor, step = _refit(result, plan.seed)
            steps.append(step)
            if stepped is not None:
                stepped(step)
            reached = step.error + step.doubt <= error
            if reached or ended:
                return UntilError(result, predictor, tuple(steps), reached)
            coefficients = predictor.model.coefficients
        count = min(_AT_A_TIME, most - len(chosen))
        more = choose_rows(basis, pool[chosen], pool, count, coefficients)
        chosen = np.concatenate([chosen, more])


def _draw_pool(plan: Plan) -> IntArray:
    if plan.space is None:
        raise InputError("Architectures are chosen from a space: give --space and no --arch.")
    count = min(_POOL, plan.space.size)
    return rows_of(plan.space.sample(np.random.default_rng(plan.seed), count))


def _refit(result: CampaignResult, seed: int) -> tuple[WorkPredictor, SamplingStep]:
    training_set = TrainingSet.from_measurements(result.measurements)
    return fit(training_set, np.random.default_rng(seed)), _step(training_set, seed)


def _without_total(progress: Progress, done: int, _: int, word: str) -> None:
    progress(done, 0, word)


def _chosen_before(
    database: ProfileDatabase, campaign: str, pool: IntArray, chosen: IntArray
) -> IntArray:
    """Positions in the pool of what an interrupted command measured beside these."""
    position = {architecture_at(row): i for i, row in enumerate(pool)}
    found = read_measurements(database, campaign=campaign)
    found.sort(key=lambda m: min(b.readings.started_at for b in m.blocks))
    measured = [position.get(m.architecture) for m in found]
    known = set(chosen.tolist())
    return np.array([i for i in measured if i is not None and i not in known], dtype=np.int64)


def _steps_before(
    result: CampaignResult, database: ProfileDatabase, rows: IntArray, seed: int
) -> list[SamplingStep]:
    """The steps of an interrupted command, from what it measured, in its order."""
    measured = {m.architecture: m for m in read_measurements(database, campaign=result.campaign)}
    ordered = [measured[a] for a in map(architecture_at, rows) if a in measured]
    steps = []
    for count in range(_FIRST, len(ordered), _AT_A_TIME):
        usable = [m for m in ordered[:count] if m.usable]
        if len(usable) >= LEAST_ROWS:
            steps.append(_step(TrainingSet.from_measurements(usable), seed))
    return steps


def _step(training_set: TrainingSet, seed: int) -> SamplingStep:
    held_out = held_out_seconds(training_set, np.random.default_rng(seed))
    errors = np.abs(held_out / training_set.seconds - 1)
    doubt = float(np.std(errors, ddof=1)) / math.sqrt(len(errors))
    return SamplingStep(len(errors), float(np.mean(errors)), doubt)
