"""`atb profile`: measure architectures on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from atb.console import note, print_json, print_table, progress
from atb.errors import InputError
from atb.options import (
    DEFAULT_DATABASE,
    Affinity,
    Batch,
    Database,
    Json,
    Precision,
    RuntimeName,
    Seed,
    SequenceLength,
    SpaceName,
    Threads,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atb.profiler.measurement import Failure, Measurement
    from atb.profiler.plan import Plan

DEFAULT_SAMPLES = 200

_ENDED = {
    "complete": "all that was planned is measured",
    "within": "the precision asked for is reached",
    "most-launches": "the precision asked for is not reached by all; more launches were not spent",
    "budget": "the budget is spent: the same command goes on",
}


def profile(
    device: Annotated[str, typer.Argument(metavar="[DEVICE]", help="See `atb devices list`.")] = (
        "local"
    ),
    space: SpaceName = "mini",
    samples: Annotated[
        int | None, typer.Option("--samples", help=f"How many; {DEFAULT_SAMPLES} by default.")
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="ARCH", help="In place of samples; repeatable."),
    ] = None,
    db: Database = DEFAULT_DATABASE,
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    threads: Threads = 1,
    batch: Batch = 1,
    sequence_length: SequenceLength = 128,
    affinity: Affinity = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="1%", help="Go on until the intervals are this narrow."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="10min", help="Begin nothing after it.")
    ] = None,
    name: Annotated[str, typer.Option("--campaign", help="Name of the campaign.")] = "profile",
    new_campaign: Annotated[
        bool, typer.Option("--new-campaign", help="Begin another one in place of going on.")
    ] = False,
    seed: Seed = 0,
    listing: Annotated[
        bool, typer.Option("--list", help="Measure nothing; show what the database holds.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure architectures, samples of a space or given ones, on a device.

    The same command resumes a campaign, a larger --samples extends it. Every block is kept at
    once.
    """
    if listing:
        _list(db, json)
        return
    plan = _plan(space, samples, arch, seed=seed, within=within, budget=budget, name=name)

    from atb.profiler.campaign import run_campaign
    from atb.profiler.database import ProfileDatabase
    from atb.target import find_target

    target = find_target(
        device,
        runtime,
        precision=precision,
        threads=threads,
        batch=batch,
        sequence_length=sequence_length,
        affinity=affinity,
    )
    with ProfileDatabase(db, create=True) as database, progress("profile") as show:
        note(f"{target.conditions}: {len(plan.subjects)} architectures into {database.location}")
        result = run_campaign(
            target.device,
            target.runtime,
            target.settings,
            plan,
            database,
            new=new_campaign,
            progress=show,
        )
    _print(result.measurements, result.failures, json)
    note(f"campaign {result.campaign}: {_ENDED[result.ended_by]}")
    if not result.measurements:
        raise typer.Exit(1)


def _plan(
    space: str,
    samples: int | None,
    arch: list[str] | None,
    *,
    seed: int,
    within: str | None,
    budget: str | None,
    name: str,
) -> Plan:
    from atb.models.known import resolve
    from atb.models.space import find_space
    from atb.profiler.plan import Plan
    from atb.units import parse_duration, parse_percent

    share = None if within is None else parse_percent(within)
    budget_seconds = None if budget is None else parse_duration(budget)
    if arch:
        if samples is not None:
            raise InputError("Both --samples and --arch were given: choose one of them.")
        shapes = tuple(resolve(text) for text in arch)
        return Plan(shapes, seed=seed, name=name, within=share, budget_seconds=budget_seconds)
    return Plan.sample(
        find_space(space),
        DEFAULT_SAMPLES if samples is None else samples,
        seed=seed,
        name=name,
        within=share,
        budget_seconds=budget_seconds,
    )


def _print(measurements: Sequence[Measurement], failures: Sequence[Failure], json: bool) -> None:
    if json:
        print_json(
            {
                "measurements": [measurement.to_json() for measurement in measurements],
                "failures": [failure.to_json() for failure in failures],
            }
        )
        return
    if measurements:
        print_table(
            ("architecture", "latency ms", "from", "to", "flagged"),
            [
                (
                    str(m.subject),
                    *(f"{1e3 * s:.4g}" for s in (m.latency_seconds, *m.interval_seconds)),
                    "; ".join(m.reasons),
                )
                for m in measurements
            ],
            left=(0, 4),
        )
    for failure in failures:
        note(f"failed: {failure.subject}: {failure.cause}: {failure.detail}")


def _list(db: str, json: bool) -> None:
    from atb.profiler.database import ProfileDatabase

    with ProfileDatabase(db) as database:
        campaigns = database.campaigns()
        measured = {c.label: database.measurements(campaign=c.label) for c in campaigns}
        failed = {c.label: database.failures(campaign=c.label) for c in campaigns}
    if json:
        print_json(
            {
                "measurements": [m.to_json() for found in measured.values() for m in found],
                "failures": [f.to_json() for found in failed.values() for f in found],
            }
        )
        return
    print_table(
        ("campaign", "space", "measured", "flagged", "failed", "conditions"),
        [
            (
                c.label,
                c.space or "-",
                str(len(measured[c.label])),
                str(sum(m.flagged for m in measured[c.label])),
                str(len(failed[c.label])),
                str(c.conditions),
            )
            for c in campaigns
        ],
        left=(0, 1, 5),
    )
