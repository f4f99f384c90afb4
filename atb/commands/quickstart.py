"""`atb quickstart`: this machine, from nothing to a measured small BERT, in minutes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atb.commands.arguments import (
    DEFAULT_CACHE,
    CacheSize,
    DeviceName,
    Json,
    Latency,
    MeasuringBudget,
    Precision,
    Reference,
    Seed,
    Speedup,
    Threads,
    parse_limit,
)
from atb.commands.output import note, print_json, print_line, progress
from atb.commands.search import note_spent, run_one, show

if TYPE_CHECKING:
    from atb.commands.arguments import Target
    from atb.models import SearchSpace
    from atb.predictor import WorkPredictor
    from atb.profiler.database import ProfileDatabase

FOLDER = Path("atb-runs/quickstart")
CAMPAIGN = "quickstart"
#: Measured too, for the report to set the winner beside.
BESIDE = ("bert-base", "minilm-6", "tinybert-4", "bert-mini", "kd-s2", "kd-s3", "kd-s4", "s4")
#: Enough for a few per cent; a minute or two of measuring.
SAMPLES = 60
#: Without a limit of the user's: four times as fast as the encoder that `mini` comes from.
DEFAULT_SPEEDUP, DEFAULT_REFERENCE = 4.0, "minilm-6"
#: Finalists need a minute or two where the machine is calm, and have no end where it is busy.
MEASURING_BUDGET = "4min"


def quickstart(
    latency: Latency = None,
    speedup: Speedup = None,
    reference: Reference = DEFAULT_REFERENCE,
    samples: Annotated[
        int, typer.Option("--samples", help="Architectures to measure for the predictor.")
    ] = SAMPLES,
    device: DeviceName = "local",
    precision: Precision = "fp32",
    threads: Threads = 1,
    budget: MeasuringBudget = MEASURING_BUDGET,
    cache: CacheSize = DEFAULT_CACHE,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure this machine, fit a predictor, search a small BERT under a limit, write a report.

    The limit is 4 times the speed of MiniLM-L6 unless --latency or --speedup says otherwise. All
    files lie below atb-runs/quickstart/. The same command goes on where it was interrupted.
    """
    from atb.commands.arguments import find_target, open_cache
    from atb.commands.report import write
    from atb.models import SPACES
    from atb.models.superplm import load_superplm
    from atb.predictor import refuse_emulated
    from atb.profiler.database import ProfileDatabase
    from atb.search import Budget, SearchRequest, Target as SearchTarget
    from atb.search.constraints import WINDOW, feasible, on_search_grid
    from atb.search.scoring import make_proxy
    from atb.units import parse_duration

    if latency is None and speedup is None:
        speedup = DEFAULT_SPEEDUP
    limit = parse_limit(latency, speedup, reference, WINDOW)
    time_left = Budget(None if budget is None else parse_duration(budget))
    target = find_target(
        device,
        None,
        precision=precision,
        threads=threads,
        batch=1,
        sequence_length=128,
        cache=open_cache(cache),
    )
    refuse_emulated(target.conditions)
    space = SPACES["mini"]
    database_path = FOLDER / "profile.db"
    predictor_path = FOLDER / "predictor.json"
    with ProfileDatabase(database_path, create=True) as database:
        note(f"1/4 measuring {samples} architectures of {space.name} on {target.conditions}")
        _measure(target, space, samples, seed, database)
        _measure_known(target, database)
        note("2/4 fitting the latency predictor")
        fitted = _fit(database, target, predictor_path, seed)
        note("3/4 searching with the bundled SuperPLM")
        superplm = load_superplm("mini")
        largest = superplm.architecture
        searched = on_search_grid(space, largest=largest)
        request = SearchRequest(searched, limit, seed=seed, largest=largest)
        known = request.limit_by(fitted)
        if known is not None:
            feasible(searched, fitted, known, largest=largest)
        targets = [SearchTarget(fitted, target.verifier(database, time_left))]
        proxy = make_proxy(superplm)
        result = run_one(request, targets, proxy, superplm, out=FOLDER, source="mini")
        note_spent(time_left)
    note("4/4 writing the report")
    write(
        FOLDER / "report.html",
        database=str(database_path),
        predictor=predictor_path,
        search=FOLDER,
        commands=(shlex.join(["atb", *sys.argv[1:]]),),
    )
    if json:
        print_json(result.to_json())
    else:
        show(result, FOLDER)
        print_line(f"report    {FOLDER / 'report.html'}")


def _measure(
    target: Target, space: SearchSpace, samples: int, seed: int, database: ProfileDatabase
) -> None:
    """Measure samples; once more where the machine was too busy for half of them."""
    from atb.profiler.campaign import Plan, run_campaign

    plan = Plan.sample(space, samples, seed=seed, name=CAMPAIGN)
    for again in (False, True):
        with progress("profile") as told:
            result = run_campaign(
                target.device,
                target.runtime,
                target.settings,
                plan,
                database,
                new=again,
                progress=told,
            )
        flagged = sum(measurement.flagged for measurement in result.measurements)
        if flagged or result.failures:
            note(f"{flagged} of {len(plan.subjects)} flagged, {len(result.failures)} failures")
        if sum(measurement.usable for measurement in result.measurements) >= samples / 2:
            return
        if not again:
            note("the machine is busy: measuring once more; close other programs for good numbers")


def _measure_known(target: Target, database: ProfileDatabase) -> None:
    """Measure known architectures, each where it can be: none of them is needed."""
    from atb.models import PUBLISHED
    from atb.profiler.campaign import Plan, run_campaign

    plan = Plan(tuple(PUBLISHED[name] for name in BESIDE), name="known")
    with progress("known architectures") as told:
        run_campaign(target.device, target.runtime, target.settings, plan, database, progress=told)


def _fit(database: ProfileDatabase, target: Target, out: Path, seed: int) -> WorkPredictor:
    import numpy as np

    from atb.predictor import TrainingSet, fit, save

    # not the finalists of a search: the predictor that chose them must not change by them
    measured = [
        measurement
        for measurement in database.measurements(conditions=target.conditions)
        if measurement.campaign.partition("-")[0] == CAMPAIGN
    ]
    fitted = fit(TrainingSet.from_measurements(measured), np.random.default_rng(seed))
    save(fitted, out)
    summary = fitted.summary
    note(f"error on held-out measurements {summary.cross_validated_mape:.1%} ({summary.rows} rows)")
    return fitted
