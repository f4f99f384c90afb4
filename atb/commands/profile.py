"""`atb profile`: measure architectures or models on a device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument

from atb.commands.arguments import (
    DEFAULT_DATABASE,
    CampaignName,
    Database,
    Json,
    Options,
    Seed,
    SpaceName,
    SweepOptions,
    completion,
    option,
)
from atb.commands.output import print_end, print_status, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atb.commands.arguments import MeasuringTarget
    from atb.devices import Runtime
    from atb.predictor.sampling import SamplingStep
    from atb.profiler import Subject
    from atb.profiler.campaign import CampaignResult, Plan

DEFAULT_SAMPLES = 200
#: Architectures at most that --until-error measures, where --samples does not say.
DEFAULT_MOST = 100
#: Where the error against the number of measurements is drawn.
_PICTURE = Path("atb-runs/until-error.png")


class SubjectOptions(Options, panel="What is measured"):
    """Which architectures or models are measured.

    Attributes:
        members: A `SearchSpace`, in place of the name of one.
    """

    space: SpaceName = "mini"
    samples: int | None = option(
        default=None, help=f"Measure this many samples of the space; by default {DEFAULT_SAMPLES}."
    )
    arch: list[str] | None = option(
        default=None,
        metavar="ARCH",
        help="Measure this architecture, instead of samples; repeatable.",
        autocompletion=completion.architectures,
    )
    model: list[Path] | None = option(
        default=None,
        metavar="FILE.onnx",
        help="Measure this model of yours, or FILE.tflite for --runtime litert; repeatable.",
    )
    until_error: str | None = option(
        default=None,
        metavar="2%",
        help="Choose what to measure until predictions of other architectures err by less "
        "than this, in percent, and measure at most --samples; by default samples are random.",
    )
    operators: bool = option(
        "--operators",
        default=False,
        help="Show also where the time goes, by the runtime's own profiler.",
    )
    tokenisation: bool = option(
        "--tokenisation", default=False, help="Measure also how long the tokeniser takes, apart."
    )
    members: Any = None


class EffortOptions(Options, panel="Budget"):
    """How precisely and for how long to measure."""

    within: str | None = option(
        default=None,
        metavar="1%",
        help="Measure until the intervals are this narrow, in percent of the latency; by "
        "default each model has a fixed number of launches.",
    )
    budget: str | None = option(
        default=None,
        metavar="10min",
        help="Start no further measurement after this time; by default all are made.",
    )
    wait: str | None = option(
        default=None,
        metavar="1min",
        help="Wait at most this long for disturbances to pass; by default 20 seconds.",
    )


class CampaignOptions(Options, panel="Output"):
    """Where measurements are kept, and what is shown."""

    db: Database = DEFAULT_DATABASE
    name: CampaignName = "profile"
    new_campaign: bool = option(
        "--new-campaign", default=False, help="Begin another campaign instead of resuming the last."
    )
    listing: bool = option(
        "--list", default=False, help="Show what the database holds, and measure nothing."
    )
    json: Json = False


def profile(
    place: Annotated[
        str | None,
        Argument(
            metavar="DEVICE",
            help="The device to measure on, a name of `atb devices list`; by default local.",
            autocompletion=completion.devices,
        ),
    ] = None,
    *,
    subjects: SubjectOptions,
    options: SweepOptions,
    effort: EffortOptions,
    campaign: CampaignOptions,
    seed: Seed = 0,
) -> None:
    """Measure samples of a space, given architectures or models of yours on a device.

    The same command resumes a campaign, a larger --samples extends it. Every block is kept at
    once. Lists of settings, such as --threads 1,2, measure every combination.

    Example:
        atb profile local --samples 60 --threads 1,2
    """
    from atb.commands.output import print_listing, print_measured

    if campaign.listing:
        print_listing(campaign.db, campaign.json)
        return
    results, extras = measure(
        _device_name(place, options.device), subjects, options, effort, campaign, seed=seed
    )
    print_measured(results, extras, json=campaign.json)
    if not any(result.measurements for result in results):
        raise typer.Exit(1)


def measure(
    place: str,
    subjects: SubjectOptions,
    options: SweepOptions,
    effort: EffortOptions,
    campaign: CampaignOptions,
    *,
    seed: int,
) -> tuple[list[CampaignResult], dict[str, list[Any]]]:
    """Measure what is asked for on the device of this name.

    Returns:
        A campaign for each set of conditions; `operators` and `tokenisation`, where asked for.

    Raises:
        InputError: Something given is impossible, or does not go together.
        RunError: The device failed; what was measured stays.
    """
    from atb.commands.arguments import open_cache
    from atb.devices import find_device, find_runtime

    if subjects.model and options.precision != "fp32":
        raise InputError("A file is timed as it is: leave --precision out beside --model.")
    plan = _plan(subjects, {**_how(options, effort), "seed": seed, "name": campaign.name})
    device = find_device(place)
    parts: dict[str, Plan] = {}
    if subjects.model:
        parts = _by_precision(plan, find_runtime(device, options.runtime))
    targets = options.targets(device, open_cache(options.cache), precisions=list(parts))
    if subjects.until_error is not None:
        return [_measure_until_error(targets, plan, subjects, campaign)], {}
    planned = [(target, parts.get(target.settings.precision, plan)) for target in targets]
    further = [word for word in ("operators", "tokenisation") if getattr(subjects, word)]
    return _measure(planned, campaign, further=further)


def _device_name(place: str | None, device: str | None) -> str:
    """The device that the argument or the option names; this machine by default."""
    if place is not None and device is not None and place != device:
        raise InputError(
            f"Two devices were given, {place} and --device {device}: name one of them."
        )
    return next((name for name in (place, device) if name is not None), "local")


def _measure_until_error(
    targets: list[MeasuringTarget], plan: Plan, subjects: SubjectOptions, campaign: CampaignOptions
) -> CampaignResult:
    """Measure chosen architectures until predictions are as good as was asked for."""
    from atb.files import prepare_output
    from atb.predictor.sampling import measure_until, require_enough
    from atb.profiler.database import ProfileDatabase
    from atb.report.pictures import error_curve
    from atb.units import parse_percent

    if subjects.arch or subjects.model:
        raise InputError("--until-error chooses by itself: leave --arch and --model out.")
    if campaign.new_campaign or subjects.operators or subjects.tokenisation:
        raise InputError(
            "--until-error does not go with --new-campaign, --operators or --tokenisation: "
            "leave them out."
        )
    if len(targets) != 1:
        raise InputError("--until-error chooses for one set of settings: give no lists beside it.")
    assert subjects.until_error is not None
    target, wanted = targets[0], parse_percent(subjects.until_error)
    most = DEFAULT_MOST if subjects.samples is None else subjects.samples
    require_enough(most)
    prepare_output(_PICTURE)

    def say(step: SamplingStep) -> None:
        print_status(f"{step.measured} measured: error on held-out ones {step.error:.2%}")

    with ProfileDatabase(campaign.db, create=True) as database:
        print_status(f"{target.conditions}: chosen of {plan.space.name if plan.space else ''}")
        with progress("profile") as show:
            found = measure_until(
                *target.where, plan, database, error=wanted, most=most, progress=show, stepped=say
            )
        error_curve(found.steps, wanted).save(_PICTURE)
        ended = "reached" if found.reached else "not reached: allow more with --samples or --budget"
        print_status(
            f"campaign {found.result.campaign}: an error of {subjects.until_error} is {ended}; "
            f"picture: {_PICTURE}"
        )
        return found.result


def _by_precision(plan: Plan, runtime: Runtime) -> dict[str, Plan]:
    """The parts of a plan by the precision in which their subjects are timed."""
    from atb.commands.arguments import DEFAULT_PRECISION, choose_precision

    parts: dict[str, list[Subject]] = {}
    for subject in plan.subjects:
        own = choose_precision(subject, runtime, DEFAULT_PRECISION)
        parts.setdefault(own, []).append(subject)
    return {own: replace(plan, subjects=tuple(subjects)) for own, subjects in parts.items()}


def _measure(
    planned: list[tuple[MeasuringTarget, Plan]], campaign: CampaignOptions, *, further: list[str]
) -> tuple[list[CampaignResult], dict[str, list[Any]]]:
    """A campaign for each target, and the further measurements that were asked for."""
    from atb.commands.arguments import print_emulated
    from atb.data.tokenizer import SHIPPED_VOCABULARY
    from atb.profiler.campaign import break_down, require_operators, run_campaign, time_tokenisation
    from atb.profiler.database import ProfileDatabase

    if "operators" in further:
        require_operators(planned[0][0].runtime)
    print_emulated(planned[0][0].conditions)
    results: list[CampaignResult] = []
    extras: dict[str, list[Any]] = {word: [] for word in further}
    with ProfileDatabase(campaign.db, create=True) as database:
        for target, plan in planned:
            print_status(
                f"{target.conditions}: {len(plan.subjects)} models into {database.location}"
            )
            if "tokenisation" in extras:  # first, since the device may lack the library
                timed = time_tokenisation(*target.where, vocabulary=SHIPPED_VOCABULARY)
                extras["tokenisation"].append(timed)
            with progress("profile") as show:
                result = run_campaign(
                    *target.where, plan, database, new=campaign.new_campaign, progress=show
                )
            print_end(result)
            results.append(result)
            if "operators" in extras:
                given = {subject: subject for subject in plan.subjects}  # with paths of files
                subjects = [given.get(m.subject, m.subject) for m in result.measurements]
                extras["operators"] += break_down(*target.where, subjects)
    return results, extras


def _how(options: SweepOptions, effort: EffortOptions) -> dict[str, Any]:
    """Attributes of a plan, by name."""
    from atb.devices import SCENARIOS
    from atb.profiler.campaign import plan_of
    from atb.units import parse_duration, parse_percent

    scenario, duration = options.scenario, options.duration
    if scenario not in SCENARIOS:
        raise InputError(f"The scenario is {scenario!r}: choose one of {', '.join(SCENARIOS)}.")
    if duration is not None and scenario != "sustained":
        raise InputError(f"--duration is for sustained, not for {scenario}: leave it out.")
    if effort.within is not None and scenario == "sustained":
        raise InputError("A sustained run ends with --duration: leave --within out.")
    seconds = None if duration is None else parse_duration(duration)
    how = plan_of(scenario, duration_seconds=seconds)
    how["within"] = None if effort.within is None else parse_percent(effort.within)
    how["budget_seconds"] = None if effort.budget is None else parse_duration(effort.budget)
    if effort.wait is not None:
        how["wait_seconds"] = parse_duration(effort.wait)
    return how


def _plan(options: SubjectOptions, how: Mapping[str, Any]) -> Plan:
    from atb.models import find_space, resolve
    from atb.profiler import ModelFile
    from atb.profiler.campaign import Plan, weight_warnings

    subjects: list[Subject] = [resolve(text) for text in options.arch or []]
    for path in options.model or []:
        subjects.append(ModelFile.of(path))
        for warning in weight_warnings(path):
            print_status(f"{path.name}: {warning}")
    if not subjects:
        count = DEFAULT_SAMPLES if options.samples is None else options.samples
        return Plan.sample(options.members or find_space(options.space), count, **how)
    if options.samples is not None:
        raise InputError("Both --samples and --arch or --model were given: choose one of them.")
    return Plan(tuple(subjects), **how)
