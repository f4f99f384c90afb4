"""`atb compare`: which of two is faster, by how much, and how sure that is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument

from atb.commands.arguments import (
    DEFAULT_PRECISION,
    Json,
    Options,
    Seed,
    TargetOptions,
    choose_precision,
    completion,
    open_cache,
    option,
    print_emulated,
)
from atb.commands.output import Table, print_result, print_status, progress
from atb.errors import InputError, Interrupted

if TYPE_CHECKING:
    from atb.commands.output import Progress
    from atb.devices import Device
    from atb.devices.runtimes import ArtefactCache
    from atb.profiler.comparison import ComparisonResult, ComparisonRunner, Side

_KIND, _FORMAT = "comparison", 1
#: By verdict on the second; 1 and 2 are taken by errors.
_EXIT_CODES = {"no difference": 0, "slower": 3, "undecided": 4, "faster": 5}
#: Settings that a side may have of its own, named as the options are, and what they are read as.
_SETTINGS: dict[str, type[str] | type[int]] = {
    "runtime": str,
    "precision": str,
    "threads": int,
    "batch": int,
    "sequence-length": int,
    "affinity": str,
}
#: A comma that begins a setting; lists of CPUs and names of files may have commas of their own.
_SEPARATOR = re.compile(r",(?=[\w-]+=)")
_MODEL_SUFFIX = ".onnx"


class EffortOptions(Options, panel="Budget"):
    """How precisely and for how long to measure."""

    within: str = option(
        default="1%", metavar="1%", help="Count latencies that differ by less than this as equal."
    )
    budget: str = option(
        default="60s", metavar="60s", help="Start no further measurement after this time."
    )
    out: Path | None = option(
        default=None,
        metavar="FILE",
        help="Write the JSON document to this file too; by default to none.",
        rich_help_panel="Output",
    )


def compare(
    first: Annotated[
        str,
        Argument(
            metavar="A",
            help="An architecture, a known name, or FILE.onnx; after commas settings of its own, "
            "such as minilm-6,precision=int8,threads=2.",
            autocompletion=completion.architectures,
        ),
    ],
    second: Annotated[
        str,
        Argument(
            metavar="B",
            help="What to compare with A, written in the same way.",
            autocompletion=completion.architectures,
        ),
    ],
    options: TargetOptions,
    effort: EffortOptions,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Tell whether B is slower or faster than A, erring in at most 1 of 100 equal pairs.

    Blocks of both alternate in fresh processes until it is clear that they differ, or that they
    differ by less than --within, or until the budget is spent. The options hold for both sides.
    Only time is compared: the outputs are not checked. The ratio is that of now: where caches are
    shared with others, two models of different size can move against each other within minutes.

    Exit codes: 0 no difference, 3 B is slower, 5 B is faster, 4 undecided.

    Example:
        atb compare tinybert-4 minilm-6 --precision int8 --budget 60s
    """
    from atb.files import prepare_output, write_document

    if effort.out is not None:
        prepare_output(effort.out)
    found = run_comparison(
        first, second, options, within=effort.within, budget=effort.budget, seed=seed
    )
    if effort.out is not None:
        write_document(effort.out, found.to_json(), kind=_KIND, format=_FORMAT)
    reasons = [f"Flagged: {reason}." for reason in found.reasons]
    lines = (_sentence(found), *reasons, _verdict(found))
    print_result(found.to_json(), _table(found), *lines, json=json)
    raise typer.Exit(_EXIT_CODES[found.verdict])


def run_comparison(
    first: str, second: str, options: TargetOptions, *, within: str, budget: str, seed: int
) -> ComparisonResult:
    """Compare two models until it is clear how they differ.

    Args:
        first: Such as `minilm-6,threads=2` or `model.onnx`.
        second: The same.
        options: Where and how, unless one of the two says otherwise.
        within: Share, such as `1%`, by which two may differ and count as equal.
        budget: Time, such as `60s`, after which nothing is begun.
        seed: Of the order of the blocks.

    Raises:
        InputError: Something given is unknown or impossible.
        RunError: One of the two could not be built, loaded or run.
    """
    from atb.profiler.comparison import ComparisonPlan, ComparisonRunner
    from atb.units import parse_duration, parse_percent

    plan = ComparisonPlan(parse_percent(within), parse_duration(budget), seed=seed)
    cache = open_cache(options.cache)
    device, one = parse_side(first, options, cache)
    _, other = parse_side(second, options, cache)
    print_emulated(one.conditions(device))
    _warn(one, other)
    return _run(ComparisonRunner(device, one, other, plan))


def parse_side(
    text: str, options: TargetOptions, cache: ArtefactCache | None = None
) -> tuple[Device, Side]:
    """Read one of the two: an architecture, a known name or FILE.onnx, and settings of its own.

    Args:
        text: Such as `minilm-6,threads=2` or `model.onnx`.
        options: The device, and the settings that hold where it has none of its own.
        cache: Where built models are kept.

    Returns:
        The device, and the side of a `ComparisonResult` on it.

    Raises:
        InputError: A part of it is unknown or impossible.
    """
    from atb.models import resolve
    from atb.profiler import ModelFile, Subject
    from atb.profiler.comparison import Side

    name, *parts = _SEPARATOR.split(text)
    own: dict[str, Any] = dict(_setting(part, text) for part in parts)
    subject: Subject
    if name.lower().endswith(_MODEL_SUFFIX):
        if "precision" in own:
            raise InputError(f"{text!r}: a file is timed as it is; leave its precision out.")
        subject = ModelFile.of(Path(name))
    else:
        subject = resolve(name)
    asked = own.get("precision", options.precision)
    if isinstance(subject, ModelFile):
        own["precision"] = DEFAULT_PRECISION
    target = replace(options, **own).find(cache)
    precision = choose_precision(subject, target.runtime, asked)
    return target.device, Side(
        subject, target.runtime, replace(target.settings, precision=precision)
    )


def _setting(part: str, text: str) -> tuple[str, str | int]:
    name, _, value = part.partition("=")
    if name not in _SETTINGS:
        raise InputError(f"{text!r} sets {name!r}: a side may set {', '.join(_SETTINGS)}.")
    try:
        return name.replace("-", "_"), _SETTINGS[name](value)
    except ValueError as error:
        raise InputError(f"{text!r} sets {name} to {value!r}: give a whole number.") from error


def _warn(*sides: Side) -> None:
    from atb.profiler import ModelFile
    from atb.profiler.campaign import weight_warnings

    for subject in dict.fromkeys(side.subject for side in sides):
        if isinstance(subject, ModelFile) and subject.path is not None:
            for warning in weight_warnings(subject.path):
                print_status(f"{subject.name}: {warning}")


def _run(runner: ComparisonRunner) -> ComparisonResult:
    with progress("compare") as show:
        try:
            return runner.run(lambda found: _show(show, found))
        except KeyboardInterrupt as error:
            known = _sentence(runner.result())
            raise Interrupted(f"Interrupted, and nothing is kept. Until then: {known}") from error


def _show(show: Progress, found: ComparisonResult) -> None:
    """Progress in seconds of the budget, since the launches to come are not known."""
    budget = found.plan.budget_seconds
    show(int(min(found.seconds, budget)), int(budget), f"s, launch {len(found.launches)}")


def _table(found: ComparisonResult) -> Table:
    latencies = found.latency_seconds or (None, None)
    rows = [
        (name, str(side.subject), "-" if s is None else f"{1e3 * s:.4g}", str(conditions))
        for name, side, conditions, s in zip(
            ("first", "second"), found.sides, found.conditions, latencies, strict=True
        )
    ]
    return Table(("side", "model", "latency ms", "conditions"), rows, left=(0, 1, 3))


def _sentence(found: ComparisonResult) -> str:
    """The ratio in words."""
    from atb.profiler.comparison import CONFIDENCE

    launches = f"{len(found.launches)} launches in {found.seconds:.0f} s"
    if found.ratio is None:
        return f"Nothing is known of the ratio after {launches}."
    interval = ""
    if found.ratio_interval is not None:
        low, high = found.ratio_interval
        interval = f" ({low:.4f} to {high:.4f}, {CONFIDENCE:.0%} sure)"
    return f"The second takes {found.ratio:.4f} times as long{interval}, after {launches}."


def _verdict(found: ComparisonResult) -> str:
    share = f"{100 * found.plan.within:g}%"
    match found.verdict:
        case "no difference":
            return f"No difference: they differ by less than {share}."
        case "undecided":
            longer = f"{max(2 * found.plan.budget_seconds, 1):g}s"
            return f"Undecided: try --budget {longer}, or a --within above {share}."
        case verdict:
            return f"The second is {verdict}."
