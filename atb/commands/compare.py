"""`atb compare`: which of two is faster, by how much, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atb.commands.arguments import (
    DEFAULT_CACHE,
    Affinity,
    Batch,
    CacheSize,
    DeviceName,
    Json,
    Precision,
    RuntimeName,
    Seed,
    SequenceLength,
    Threads,
    completion,
)
from atb.commands.output import note, print_json, print_line, print_table, progress
from atb.errors import Interrupted

if TYPE_CHECKING:
    from atb.commands.output import Progress
    from atb.profiler.comparison import Comparison, ComparisonRunner, Side

_KIND, _FORMAT = "comparison", 1
#: By verdict on the second; 1 and 2 are taken by errors.
_EXIT_CODES = {"no difference": 0, "slower": 3, "undecided": 4, "faster": 5}

_SIDE_HELP = (
    "An architecture, a known name, or FILE.onnx; after commas settings of its own: "
    "minilm-6,precision=int8,threads=2."
)
_First = Annotated[
    str, typer.Argument(metavar="A", help=_SIDE_HELP, autocompletion=completion.architectures)
]
_Second = Annotated[
    str, typer.Argument(metavar="B", help="The same.", autocompletion=completion.architectures)
]


def compare(
    first: _First,
    second: _Second,
    device: DeviceName = "local",
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    threads: Threads = 1,
    batch: Batch = 1,
    sequence_length: SequenceLength = 128,
    affinity: Affinity = None,
    within: Annotated[
        str,
        typer.Option("--within", metavar="1%", help="Two that differ by less count as equal."),
    ] = "1%",
    budget: Annotated[
        str, typer.Option("--budget", metavar="60s", help="Begin nothing after it.")
    ] = "60s",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the document there too, as JSON."),
    ] = None,
    cache: CacheSize = DEFAULT_CACHE,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Tell whether B is slower or faster than A, erring in at most 1 of 100 equal pairs.

    Blocks of both alternate in fresh processes until it is clear that they differ, or that they
    differ by less than --within, or until the budget is spent. The options hold for both sides.
    Only time is compared: the outputs are not checked. The ratio is that of now: where caches are
    shared with others, two models of different size can move against each other within minutes.

    Exit codes: 0 no difference, 3 B is slower, 5 B is faster, 4 undecided.
    """
    from atb.commands.arguments import note_emulated, open_cache, parse_side
    from atb.files import prepare_output, write_document
    from atb.profiler.comparison import ComparisonPlan, ComparisonRunner
    from atb.units import parse_duration, parse_percent

    plan = ComparisonPlan(parse_percent(within), parse_duration(budget), seed=seed)
    options = {
        "runtime": runtime,
        "precision": precision,
        "threads": threads,
        "batch": batch,
        "sequence-length": sequence_length,
        "affinity": affinity,
    }
    kept = open_cache(cache)
    place, one = parse_side(first, device, options, kept)
    _, other = parse_side(second, device, options, kept)
    if out is not None:
        prepare_output(out)
    note_emulated(one.conditions(place))
    _warn(one, other)
    found = _run(ComparisonRunner(place, one, other, plan))
    if out is not None:
        write_document(out, found.to_json(), kind=_KIND, format=_FORMAT)
    if json:
        print_json(found.to_json())
    else:
        _print(found)
    raise typer.Exit(_EXIT_CODES[found.verdict])


def _warn(*sides: Side) -> None:
    from atb.profiler import ModelFile
    from atb.profiler.campaign import weight_warnings

    for subject in dict.fromkeys(side.subject for side in sides):
        if isinstance(subject, ModelFile) and subject.path is not None:
            for warning in weight_warnings(subject.path):
                note(f"{subject.name}: {warning}")


def _run(runner: ComparisonRunner) -> Comparison:
    with progress("compare") as show:
        try:
            return runner.run(lambda found: _show(show, found))
        except KeyboardInterrupt as error:
            known = _sentence(runner.result())
            raise Interrupted(f"Interrupted, and nothing is kept. Until then: {known}") from error


def _show(show: Progress, found: Comparison) -> None:
    """Progress in seconds of the budget, since the launches to come are not known."""
    budget = found.plan.budget_seconds
    show(int(min(found.seconds, budget)), int(budget), f"s, launch {len(found.launches)}")


def _print(found: Comparison) -> None:
    latencies = found.latency_seconds or (None, None)
    print_table(
        ("side", "model", "latency ms", "conditions"),
        [
            (name, str(side.subject), "-" if s is None else f"{1e3 * s:.4g}", str(conditions))
            for name, side, conditions, s in zip(
                ("first", "second"), found.sides, found.conditions, latencies, strict=True
            )
        ],
        left=(0, 1, 3),
    )
    print_line(_sentence(found))
    for reason in found.reasons:
        print_line(f"Flagged: {reason}.")
    print_line(_verdict(found))


def _sentence(found: Comparison) -> str:
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


def _verdict(found: Comparison) -> str:
    share = f"{100 * found.plan.within:g}%"
    match found.verdict:
        case "no difference":
            return f"No difference: they differ by less than {share}."
        case "undecided":
            longer = f"{max(2 * found.plan.budget_seconds, 1):g}s"
            return f"Undecided: try --budget {longer}, or a --within above {share}."
        case verdict:
            return f"The second is {verdict}."
