"""`atb predictor transfer`: a predictor of a new device from a few measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atb.commands.arguments import (
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    CampaignName,
    Coverage,
    Database,
    Force,
    Json,
    Options,
    PredictorOutput,
    Seed,
    SpaceName,
    TargetOptions,
    completion,
    option,
)
from atb.commands.output import print_result, print_status, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atb.commands.arguments import MeasuringTarget
    from atb.predictor import WorkPredictor
    from atb.predictor.fitting import IntArray
    from atb.profiler.campaign import CampaignResult

#: Architectures of the space to choose from.
_POOL = 600
#: Sources of less weight are not named.
_LEAST_NAMED = 0.005


class SourceOptions(Options, panel="What is known"):
    """The predictors to begin from."""

    predictor: list[Path] | None = option(
        default=None,
        metavar="FILE",
        help="Begin from this predictor of another device; repeatable.",
    )
    known: list[str] | None = option(
        default=None,
        metavar="NAME",
        help="Begin from this known device; repeatable; by default from all known devices "
        "unless --predictor is given.",
        autocompletion=completion.known_devices,
    )


class MeasuringOptions(Options, panel="What is measured"):
    """The few measurements on the new device."""

    samples: int = option(default=10, help="Measure this many architectures.")
    space: SpaceName = "mini"
    within: str = option(
        default="1%", help="Measure until intervals are this narrow, in percent of the latency."
    )
    db: Database = DEFAULT_DATABASE
    name: CampaignName = "transfer"


def transfer(
    source: SourceOptions,
    options: TargetOptions,
    measured: MeasuringOptions,
    out: PredictorOutput = DEFAULT_PREDICTOR,
    coverage: Coverage = "90%",
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a few architectures on a device and fit a predictor by what is known of others.

    The few are those that tell most. The same command resumes an interrupted run.

    Example:
        atb predictor transfer --device pi4 --samples 10 --out pi4.json
    """
    from atb.commands.arguments import open_cache
    from atb.files import prepare_output
    from atb.predictor import LEAST_SAMPLES, TrainingSet, refuse_emulated, save, transfer_predictor
    from atb.units import parse_percent

    if measured.samples < LEAST_SAMPLES:
        raise InputError(f"--samples is {measured.samples}: give at least {LEAST_SAMPLES}.")
    if out in (source.predictor or ()):
        raise InputError(f"--out is {out}, which is one of the known predictors: choose another.")
    share, within = parse_percent(coverage), parse_percent(measured.within)
    cache = open_cache(options.cache)
    sources = _sources(source.predictor or (), source.known or ())
    target = options.find(cache)
    if not force:
        for conditions in (target.conditions, *(known.conditions for known in sources.values())):
            refuse_emulated(conditions)
    prepare_output(out)
    rows = _choose(target, list(sources.values()), measured, seed)
    result = _measure(target, rows, measured, within=within, seed=seed)
    training_set = TrainingSet.from_measurements(
        result.measurements, least_rows=LEAST_SAMPLES, emulated=force
    )
    found, weights = transfer_predictor(list(sources.values()), training_set, coverage=share)
    save(found, out)
    names = [*sources, *(["all together"] if len(sources) > 1 else [])]
    _print(found, out, dict(zip(names, weights.tolist(), strict=True)), json=json)


def _print(found: WorkPredictor, out: Path, weights: Mapping[str, float], *, json: bool) -> None:
    summary = found.summary
    print_result(
        {
            "predictor": str(out),
            "conditions": found.conditions.to_json(),
            "rows": summary.rows,
            "excluded": summary.excluded,
            "sources": dict(weights),
            "left_out_mape": summary.cross_validated_mape,
        },
        f"{out}: {found.conditions}",
        f"from {summary.rows} measurements ({summary.excluded} left out) "
        f"and what is known of {_worded(weights)}; "
        f"error on each when it is left out {summary.cross_validated_mape:.1%}",
        json=json,
    )


def _sources(paths: Sequence[Path], names: Sequence[str]) -> dict[str, WorkPredictor]:
    """The predictors to begin from by their names: those of files and of known devices."""
    from atb.predictor import load
    from atb.predictor.known_devices import find_known_device, list_known_devices

    everything = not paths and not names
    devices = list_known_devices() if everything else [find_known_device(name) for name in names]
    if everything and not devices:
        raise InputError(
            "There is no known device to begin from: name predictors of other devices with "
            "--predictor, or make known ones with `atb devices bundle`."
        )
    return {
        **{str(path): load(path) for path in paths},
        **{str(one.conditions): one.predictor for known in devices for one in known.predictors},
    }


def _worded(weights: Mapping[str, float]) -> str:
    """The sources that weigh something, and how many others there are."""
    named = {name: weight for name, weight in weights.items() if weight >= _LEAST_NAMED}
    words = [f"{name} ({weight:.0%})" for name, weight in named.items()]
    others = len(weights) - len(named)
    return ", ".join([*words, *([f"{others} more (0%)"] if others else [])])


def _choose(
    target: MeasuringTarget, known: list[WorkPredictor], measured: MeasuringOptions, seed: int
) -> IntArray:
    """The architectures that tell most of the device, one row each."""
    import numpy as np

    from atb.models import find_space
    from atb.predictor.fitting import architecture_basis, bases_of, rows_of
    from atb.predictor.sampling import choose_rows

    basis, _ = bases_of(architecture_basis(target.settings))
    members = find_space(measured.space)
    pool = rows_of(members.sample(np.random.default_rng(seed), min(_POOL, members.size)))
    amounts = basis.amounts(pool)
    # of all known devices, as if they were equally fast
    coefficients = np.mean(
        [p.model.coefficients / np.mean(amounts @ p.model.coefficients) for p in known], axis=0
    )
    return np.asarray(pool[choose_rows(basis, pool[:0], pool, measured.samples, coefficients)])


def _measure(
    target: MeasuringTarget, rows: IntArray, measured: MeasuringOptions, *, within: float, seed: int
) -> CampaignResult:
    from atb.predictor.fitting import architecture_at
    from atb.profiler.campaign import Plan, run_campaign
    from atb.profiler.database import ProfileDatabase

    subjects = tuple(architecture_at(row) for row in rows)
    plan = Plan(subjects, within=within, name=measured.name, seed=seed)
    with ProfileDatabase(measured.db, create=True) as database:
        print_status(f"{target.conditions}: {len(subjects)} models into {database.location}")
        with progress("transfer") as show:
            return run_campaign(*target.where, plan, database, progress=show)
