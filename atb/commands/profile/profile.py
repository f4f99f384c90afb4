"""`atb profile`: measure architectures or models on a device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atb.commands.arguments import (
    DEFAULT_CACHE,
    DEFAULT_DATABASE,
    Affinities,
    Batches,
    CacheSize,
    CampaignName,
    Database,
    Json,
    Precisions,
    RuntimeName,
    Seed,
    SequenceLengths,
    SpaceName,
    ThreadCounts,
    completion,
)
from atb.commands.output import note, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atb.commands.arguments import Sweep, Target
    from atb.devices import Runtime
    from atb.profiler import Subject
    from atb.profiler.campaign import CampaignResult, Plan

DEFAULT_SAMPLES = 200


def profile(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[DEVICE]",
            help="See `atb devices list`; local by default.",
            autocompletion=completion.devices,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="The same as DEVICE, as in the other commands.",
            autocompletion=completion.devices,
        ),
    ] = None,
    space: SpaceName = "mini",
    samples: Annotated[
        int | None, typer.Option("--samples", help=f"How many; {DEFAULT_SAMPLES} by default.")
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(
            "--arch",
            metavar="ARCH",
            help="In place of samples; repeatable.",
            autocompletion=completion.architectures,
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="FILE.onnx",
            help="A model of yours, or FILE.tflite for --runtime litert; repeatable.",
        ),
    ] = None,
    db: Database = DEFAULT_DATABASE,
    runtime: RuntimeName = None,
    precision: Precisions = "fp32",
    threads: ThreadCounts = "1",
    batch: Batches = "1",
    sequence_length: SequenceLengths = "128",
    affinity: Affinities = None,
    scenario: Annotated[
        str,
        typer.Option(
            "--scenario",
            metavar="NAME",
            autocompletion=completion.scenarios,
            help="hot-loop, fixed-rate or single-shot (with --interval), sustained (with "
            "--duration), cold-start, throughput (with --streams).",
        ),
    ] = "hot-loop",
    interval: Annotated[
        str | None,
        typer.Option("--interval", metavar="100ms", help="Of a fixed rate, or idle before a shot."),
    ] = None,
    streams: Annotated[
        str, typer.Option("--streams", metavar="1,2", help="Concurrent, for throughput.")
    ] = "1",
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="2min", help="Of a sustained run.")
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="1%", help="Go on until the intervals are this narrow."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="10min", help="Begin nothing after it.")
    ] = None,
    patience: Annotated[
        str | None,
        typer.Option(
            "--patience", metavar="1min", help="Wait at most so long for disturbances to pass."
        ),
    ] = None,
    operators: Annotated[
        bool,
        typer.Option("--operators", help="Also show where the time goes, by the runtime's word."),
    ] = False,
    tokenisation: Annotated[
        bool, typer.Option("--tokenisation", help="Also time the tokeniser, apart.")
    ] = False,
    until_error: Annotated[
        str | None,
        typer.Option(
            "--until-error",
            metavar="2%",
            help="Choose what to measure, until predictions of others are as good; --samples is "
            "how many at most.",
        ),
    ] = None,
    name: CampaignName = "profile",
    cache: CacheSize = DEFAULT_CACHE,
    new_campaign: Annotated[
        bool, typer.Option("--new-campaign", help="Begin another one in place of going on.")
    ] = False,
    seed: Seed = 0,
    listing: Annotated[
        bool, typer.Option("--list", help="Measure nothing; show what the database holds.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure samples of a space, given architectures or models of yours on a device.

    The same command resumes a campaign, a larger --samples extends it. Every block is kept at
    once. Lists of settings, such as --threads 1,2, measure every combination.
    """
    from atb.commands.output import print_listing, print_measured
    from atb.commands.profile.adaptive_sampling import measure_until_error

    if listing:
        print_listing(db, json)
        return
    if model and precision != "fp32":
        raise InputError("A file is timed as it is: leave --precision out beside --model.")
    how = _how(scenario, duration, within, budget, patience)
    plan = _plan(space, samples, _subjects(arch, model), {**how, "seed": seed, "name": name})
    sweep = _sweep(precision, threads, batch, sequence_length, scenario, interval, streams)

    from atb.commands.arguments import expand_affinity, open_cache
    from atb.devices import find_device
    from atb.devices.runtimes import find_runtime

    found = find_device(_device_name(place, device))
    sweep = replace(sweep, affinities=expand_affinity(affinity, found))
    parts: dict[str, Plan] = {}
    if model:
        parts = _by_precision(plan, find_runtime(found, runtime))
        sweep = replace(sweep, precisions=list(parts))
    targets = sweep.targets(found, runtime, open_cache(cache))
    if until_error is not None:
        _require_choice(arch, model, new=new_campaign, further=operators or tokenisation)
        result = measure_until_error(targets, plan, db, error=until_error, most=samples)
        print_measured([result], {}, json=json)
        return
    asked = {"operators": operators, "tokenisation": tokenisation}
    further = [word for word, wanted in asked.items() if wanted]
    planned = [(target, parts.get(target.settings.precision, plan)) for target in targets]
    results, extras = _measure(planned, db, new=new_campaign, further=further)
    print_measured(results, extras, json=json)
    if not any(result.measurements for result in results):
        raise typer.Exit(1)


def _device_name(place: str | None, device: str | None) -> str:
    """The device that the argument or the option names; this machine where neither does."""
    if place is not None and device is not None and place != device:
        raise InputError(
            f"Two devices were given, {place} and --device {device}: name one of them."
        )
    return next((name for name in (place, device) if name is not None), "local")


def _require_choice(
    arch: list[str] | None, model: list[Path] | None, *, new: bool, further: bool
) -> None:
    if arch or model:
        raise InputError("--until-error chooses by itself: leave --arch and --model out.")
    if new or further:
        raise InputError(
            "--until-error does not go with --new-campaign, --operators or --tokenisation: "
            "leave them out."
        )


def _by_precision(plan: Plan, runtime: Runtime) -> dict[str, Plan]:
    """The parts of a plan by the precision in which their subjects are timed."""
    from atb.commands.arguments import DEFAULT_PRECISION, choose_precision

    parts: dict[str, list[Subject]] = {}
    for subject in plan.subjects:
        own = choose_precision(subject, runtime, DEFAULT_PRECISION)
        parts.setdefault(own, []).append(subject)
    return {own: replace(plan, subjects=tuple(subjects)) for own, subjects in parts.items()}


def _measure(
    planned: list[tuple[Target, Plan]], db: str, *, new: bool, further: list[str]
) -> tuple[list[CampaignResult], dict[str, list[Any]]]:
    """A campaign for each target, and what else was asked for."""
    from atb.commands.arguments import note_emulated
    from atb.commands.output import note_end
    from atb.data.tokenizer import SHIPPED_VOCABULARY
    from atb.profiler.campaign import break_down, require_operators, run_campaign, time_tokenisation
    from atb.profiler.database import ProfileDatabase

    if "operators" in further:
        require_operators(planned[0][0].runtime)
    note_emulated(planned[0][0].conditions)
    results: list[CampaignResult] = []
    extras: dict[str, list[Any]] = {word: [] for word in further}
    with ProfileDatabase(db, create=True) as database:
        for target, plan in planned:
            note(f"{target.conditions}: {len(plan.subjects)} models into {database.location}")
            where = (target.device, target.runtime, target.settings)
            if "tokenisation" in extras:  # first, since the device may lack the library
                timed = time_tokenisation(*where, vocabulary=SHIPPED_VOCABULARY)
                extras["tokenisation"].append(timed)
            with progress("profile") as show:
                result = run_campaign(*where, plan, database, new=new, progress=show)
            note_end(result)
            results.append(result)
            if "operators" in extras:
                extras["operators"] += break_down(*where, [m.subject for m in result.measurements])
    return results, extras


def _how(
    scenario: str,
    duration: str | None,
    within: str | None,
    budget: str | None,
    patience: str | None,
) -> dict[str, Any]:
    """What the words say about a plan, by attribute."""
    from atb.devices import SCENARIOS
    from atb.profiler.statistics import plan_of
    from atb.units import parse_duration, parse_percent

    if scenario not in SCENARIOS:
        raise InputError(f"The scenario is {scenario!r}: choose one of {', '.join(SCENARIOS)}.")
    if duration is not None and scenario != "sustained":
        raise InputError(f"--duration is for sustained, not for {scenario}: leave it out.")
    if within is not None and scenario == "sustained":
        raise InputError("A sustained run ends with --duration: leave --within out.")
    seconds = None if duration is None else parse_duration(duration)
    how = plan_of(scenario, duration_seconds=seconds)
    how["within"] = None if within is None else parse_percent(within)
    how["budget_seconds"] = None if budget is None else parse_duration(budget)
    if patience is not None:
        how["patience_seconds"] = parse_duration(patience)
    return how


def _subjects(arch: list[str] | None, model: list[Path] | None) -> list[Subject]:
    from atb.models import resolve
    from atb.profiler import ModelFile
    from atb.profiler.campaign import weight_warnings

    found: list[Subject] = [resolve(text) for text in arch or []]
    for path in model or []:
        found.append(ModelFile.of(path))
        for warning in weight_warnings(path):
            note(f"{path.name}: {warning}")
    return found


def _plan(space: str, samples: int | None, subjects: list[Subject], how: Mapping[str, Any]) -> Plan:
    from atb.models import find_space
    from atb.profiler.campaign import Plan

    if not subjects:
        count = DEFAULT_SAMPLES if samples is None else samples
        return Plan.sample(find_space(space), count, **how)
    if samples is not None:
        raise InputError("Both --samples and --arch or --model were given: choose one of them.")
    return Plan(tuple(subjects), **how)


def _sweep(
    precision: str,
    threads: str,
    batch: str,
    sequence_length: str,
    scenario: str,
    interval: str | None,
    streams: str,
) -> Sweep:
    from atb.commands.arguments import Sweep, parse_list
    from atb.units import parse_duration

    return Sweep(
        precisions=parse_list(precision, str, "--precision"),
        threads=parse_list(threads, int, "--threads"),
        batches=parse_list(batch, int, "--batch"),
        sequence_lengths=parse_list(sequence_length, int, "--sequence-length"),
        scenario=scenario,
        interval_seconds=None if interval is None else parse_duration(interval),
        streams=parse_list(streams, int, "--streams"),
    )
