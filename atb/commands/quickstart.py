"""`atb quickstart`: this machine, from nothing to a measured small BERT, in minutes."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from atb.commands import report
from atb.commands.arguments import (
    DEFAULT_CACHE,
    CacheSize,
    DeviceName,
    ImprovementOptions,
    Json,
    LimitOptions,
    MeasuringBudget,
    Precision,
    ScoringOptions,
    SearchLimitOptions,
    Seed,
    TargetOptions,
    Threads,
)
from atb.commands.output import print_search, print_status, progress
from atb.commands.search import (
    CandidateOptions,
    FileOptions,
    MethodOptions,
    find_winner,
)
from atb.errors import BadFile

if TYPE_CHECKING:
    from atb.commands.arguments import MeasuringTarget
    from atb.models import SearchSpace
    from atb.predictor import WorkPredictor
    from atb.profiler.database import ProfileDatabase

FOLDER = Path("atb-runs/quickstart")
DATABASE, PREDICTOR = FOLDER / "profile.db", FOLDER / "predictor.json"
CAMPAIGN = "quickstart"
#: Measured too, for the report to set the winner beside.
BESIDE = ("bert-base", "minilm-6", "tinybert-4", "bert-mini", "kd-s2", "kd-s3", "kd-s4", "s4")
#: Enough for a few per cent; a minute or two of measuring.
SAMPLES = 60
#: Without a limit of the user's: four times as fast as the encoder that `mini` comes from.
DEFAULT_SPEEDUP = 4.0
_LIMIT = LimitOptions(reference="minilm-6")
#: The whole takes about this long on two cores; the winner learns on in what the search leaves of
#: it, from half a minute to three.
ALL_SECONDS, SEARCH_SECONDS = 480.0, 200.0
IMPROVEMENT_SECONDS = (30.0, 180.0)
#: Finalists need a minute or two where the machine is calm, and have no end where it is busy.
MEASURING_BUDGET = "4min"


def quickstart(
    wanted: LimitOptions = _LIMIT,
    samples: Annotated[
        int, Option(help="Measure this many architectures to fit the predictor on.")
    ] = SAMPLES,
    device: DeviceName = "local",
    precision: Precision = "fp32",
    threads: Threads = 1,
    budget: MeasuringBudget = MEASURING_BUDGET,
    improve: Annotated[
        str | None,
        Option(
            metavar="DURATION",
            help="Train the winner further for this long, such as 3min, or not at all (none); by "
            "default for what is left of eight minutes, at most three.",
        ),
    ] = None,
    cache: CacheSize = DEFAULT_CACHE,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure this machine, fit a predictor, search a small BERT under a limit, write a report.

    The limit is 4 times the speed of MiniLM-L6 unless --latency or --speedup says otherwise. All
    files lie below atb-runs/quickstart/. The same command resumes an interrupted run.

    Example:
        atb quickstart --latency 6ms
    """
    from atb.commands.arguments import open_cache
    from atb.models import SPACES
    from atb.predictor import refuse_emulated
    from atb.profiler.database import ProfileDatabase

    begun, wanted = time.monotonic(), _checked(wanted, budget, improve)
    options = TargetOptions(device=device, precision=precision, threads=threads, cache=cache)
    target = options.find(open_cache(cache))
    refuse_emulated(target.conditions)
    space = SPACES["mini"]
    with ProfileDatabase(DATABASE, create=True) as database:
        print_status(f"1/4 measuring {samples} architectures of mini on {target.conditions}")
        _measure(target, space, samples, seed, database)
        _measure_known(target, database)
        fitted = _fit(database, target, seed)
    print_status("3/4 searching with the bundled SuperPLM")
    result = find_winner(
        SearchLimitOptions.of(vars(wanted)), CandidateOptions(),
        MethodOptions(budget=budget, seed=seed), ScoringOptions(), options,
        FileOptions(predictor=PREDICTOR, db=str(DATABASE), out=FOLDER),
        _improvement(improve, time.monotonic() - begun), fitted=fitted,
    )  # fmt: skip
    print_status("4/4 writing the report")
    report.write(
        FOLDER / "report.html",
        database=str(DATABASE),
        predictor=PREDICTOR,
        search=FOLDER,
        commands=(shlex.join(["atb", *sys.argv[1:]]),),
    )
    print_search(result, FOLDER, json=json, further={"report": FOLDER / "report.html"})


def _measure(
    target: MeasuringTarget, space: SearchSpace, samples: int, seed: int, database: ProfileDatabase
) -> None:
    """Measure samples; once more where the machine was too busy for half of them."""
    from atb.profiler.campaign import Plan, run_campaign

    plan = Plan.sample(space, samples, seed=seed, name=CAMPAIGN)
    for again in (False, True):
        with progress("profile") as show:
            result = run_campaign(*target.where, plan, database, new=again, progress=show)
        flagged = sum(measurement.flagged for measurement in result.measurements)
        if flagged or result.failures:
            print_status(
                f"{flagged} of {len(plan.subjects)} flagged, {len(result.failures)} failures"
            )
        if sum(measurement.usable for measurement in result.measurements) >= samples / 2:
            return
        if not again:
            print_status(
                "the machine is busy: measuring once more; close other programs for good numbers"
            )


def _measure_known(target: MeasuringTarget, database: ProfileDatabase) -> None:
    """Measure known architectures, each where it can be: none of them is needed."""
    from atb.models import PUBLISHED
    from atb.profiler.campaign import Plan, run_campaign

    plan = Plan(tuple(PUBLISHED[name] for name in BESIDE), name="known")
    with progress("known architectures") as show:
        run_campaign(*target.where, plan, database, progress=show)


def _checked(wanted: LimitOptions, budget: str | None, improve: str | None) -> LimitOptions:
    """The limit; what cannot be read is refused before anything is measured."""
    from atb.search.constraints import WINDOW
    from atb.units import parse_duration

    if wanted.latency is None and wanted.speedup is None:
        wanted = replace(wanted, speedup=DEFAULT_SPEEDUP)
    wanted.parse(WINDOW)
    for duration in (budget, None if improve == "none" else improve):
        if duration is not None:
            parse_duration(duration)
    return wanted


def _improvement(given: str | None, spent_seconds: float) -> ImprovementOptions:
    """How long the winner learns on; what was decided once stays, so that the command resumes."""
    from atb.files import read_document, write_document

    if given is not None:
        return ImprovementOptions(improve=None if given == "none" else given)
    path, kind = FOLDER / "improvement.json", "quickstart-improvement"
    if not path.is_file():
        shortest, longest = IMPROVEMENT_SECONDS
        left = ALL_SECONDS - SEARCH_SECONDS - spent_seconds
        seconds = round(min(max(left, shortest), longest))
        write_document(path, {"seconds": seconds}, kind=kind, format=1)
    known = read_document(path, kind=kind, format=1).get("seconds")
    if not isinstance(known, int):
        raise BadFile(f"{path} is damaged: remove it.")
    return ImprovementOptions(improve=f"{known}s")


def _fit(database: ProfileDatabase, target: MeasuringTarget, seed: int) -> WorkPredictor:
    import numpy as np

    from atb.predictor import TrainingSet, fit, save
    from atb.profiler import measurements_as_of

    print_status("2/4 fitting the latency predictor")
    # not the finalists of a search, nor the level that they showed: the predictor that chose them
    # must not change by them, or the same command would search again
    measured = [
        measurement
        for campaign in database.campaigns(target.conditions)
        if campaign.label.partition("-")[0] == CAMPAIGN
        for measurement in measurements_as_of(database, campaign)
    ]
    fitted = fit(TrainingSet.from_measurements(measured), np.random.default_rng(seed))
    save(fitted, PREDICTOR)
    summary = fitted.summary
    print_status(
        f"error on held-out measurements {summary.cross_validated_mape:.1%} ({summary.rows} rows)"
    )
    return fitted
