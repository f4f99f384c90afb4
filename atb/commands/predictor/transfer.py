"""`atb predictor transfer`: a predictor of a new device from a few measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atb.commands.arguments import (
    DEFAULT_CACHE,
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    Affinity,
    Batch,
    CacheSize,
    CampaignName,
    Database,
    DeviceName,
    Force,
    Json,
    Precision,
    RuntimeName,
    Seed,
    SequenceLength,
    SpaceName,
    Threads,
    completion,
)
from atb.commands.output import note, print_json, print_line, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atb.commands.arguments import Target
    from atb.predictor import WorkPredictor
    from atb.predictor.fitting import Basis, IntArray
    from atb.profiler.campaign import CampaignResult

#: Architectures of the space to choose from.
_POOL = 600
#: Sources of less weight are not named.
_LEAST_TOLD = 0.005


def transfer(
    predictor: Annotated[
        list[Path] | None,
        typer.Option("--predictor", metavar="FILE", help="Of another device; repeatable."),
    ] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(
            "--known",
            metavar="NAME",
            autocompletion=completion.known_devices,
            help="A known device; repeatable. All of them where nothing is named.",
        ),
    ] = None,
    device: DeviceName = "local",
    samples: Annotated[int, typer.Option("--samples", help="Architectures to measure.")] = 10,
    space: SpaceName = "mini",
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    threads: Threads = 1,
    batch: Batch = 1,
    sequence_length: SequenceLength = 128,
    affinity: Affinity = None,
    cache: CacheSize = DEFAULT_CACHE,
    db: Database = DEFAULT_DATABASE,
    out: Annotated[Path, typer.Option("--out", metavar="FILE")] = DEFAULT_PREDICTOR,
    within: Annotated[str, typer.Option("--within", help="How precisely to measure.")] = "1%",
    coverage: Annotated[
        str, typer.Option("--coverage", help="Share of new measurements within the interval.")
    ] = "90%",
    name: CampaignName = "transfer",
    force: Force = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a few architectures on a device and fit a predictor by what is known of others.

    The few are those that tell most. The same command goes on where it was interrupted.
    """
    from atb.commands.arguments import find_target, open_cache
    from atb.files import prepare_output
    from atb.predictor import LEAST_SAMPLES, TrainingSet, refuse_emulated, save, transfer_predictor
    from atb.predictor.fitting import architecture_basis, bases_of
    from atb.units import parse_percent

    if samples < LEAST_SAMPLES:
        raise InputError(f"--samples is {samples}: give at least {LEAST_SAMPLES}.")
    if out in (predictor or ()):
        raise InputError(f"--out is {out}, which is one of the known predictors: choose another.")
    share, precise = parse_percent(coverage), parse_percent(within)
    kept = open_cache(cache)
    sources = _sources(predictor or (), known or ())
    target = find_target(
        device,
        runtime,
        precision=precision,
        threads=threads,
        batch=batch,
        sequence_length=sequence_length,
        affinity=affinity,
        cache=kept,
    )
    if not force:
        for conditions in (target.conditions, *(source.conditions for source in sources.values())):
            refuse_emulated(conditions)
    prepare_output(out)
    basis, _ = bases_of(architecture_basis(target.settings))
    rows = _choose(basis, list(sources.values()), space, samples, seed)
    result = _measure(target, rows, db, within=precise, name=name, seed=seed)
    training_set = TrainingSet.from_measurements(
        result.measurements, least_rows=LEAST_SAMPLES, emulated=force
    )
    found, weights = transfer_predictor(list(sources.values()), training_set, coverage=share)
    save(found, out)
    names = [*sources, *(["all together"] if len(sources) > 1 else [])]
    told = dict(zip(names, weights.tolist(), strict=True))
    if json:
        print_json(
            {
                "predictor": str(out),
                "conditions": found.conditions.to_json(),
                "rows": found.summary.rows,
                "excluded": found.summary.excluded,
                "sources": told,
                "left_out_mape": found.summary.cross_validated_mape,
            }
        )
        return
    print_line(f"{out}: {found.conditions}")
    print_line(
        f"from {found.summary.rows} measurements ({found.summary.excluded} left out) "
        f"and what is known of {_worded(told)}; "
        f"error on each when it is left out {found.summary.cross_validated_mape:.1%}"
    )


def _sources(paths: Sequence[Path], names: Sequence[str]) -> dict[str, WorkPredictor]:
    """What to begin from, by what to call it: files, and all that is known of known devices."""
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
    """The sources that tell something, and how many others there are."""
    telling = {name: weight for name, weight in weights.items() if weight >= _LEAST_TOLD}
    words = [f"{name} ({weight:.0%})" for name, weight in telling.items()]
    silent = len(weights) - len(telling)
    return ", ".join([*words, *([f"{silent} more (0%)"] if silent else [])])


def _choose(
    basis: Basis, known: list[WorkPredictor], space: str, samples: int, seed: int
) -> IntArray:
    import numpy as np

    from atb.models import find_space
    from atb.predictor.fitting import rows_of
    from atb.predictor.sampling import choose_rows

    members = find_space(space)
    pool = rows_of(members.sample(np.random.default_rng(seed), min(_POOL, members.size)))
    amounts = basis.amounts(pool)
    # of all known devices, as if they were equally fast
    coefficients = np.mean(
        [p.model.coefficients / np.mean(amounts @ p.model.coefficients) for p in known], axis=0
    )
    return np.asarray(pool[choose_rows(basis, pool[:0], pool, samples, coefficients)])


def _measure(
    target: Target, rows: IntArray, db: str, *, within: float, name: str, seed: int
) -> CampaignResult:
    from atb.predictor.fitting import architecture_at
    from atb.profiler.campaign import Plan, run_campaign
    from atb.profiler.database import ProfileDatabase

    plan = Plan(tuple(architecture_at(row) for row in rows), within=within, name=name, seed=seed)
    where = (target.device, target.runtime, target.settings)
    with ProfileDatabase(db, create=True) as database:
        note(f"{target.conditions}: {len(plan.subjects)} models into {database.location}")
        with progress("transfer") as show:
            return run_campaign(*where, plan, database, progress=show)
