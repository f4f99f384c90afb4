"""`atb search`: the best architecture under a latency limit, measured and ready to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atb.commands.arguments import (
    DEFAULT_CACHE,
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    DEFAULT_SEARCH,
    Affinity,
    Batch,
    CacheSize,
    Database,
    DeviceName,
    HeldOutShards,
    Json,
    Latency,
    MeasuringBudget,
    Precision,
    PredictorFile,
    Reference,
    RuntimeName,
    Scoring,
    Seed,
    SequenceLength,
    SpaceName,
    Speedup,
    SuperPLMFolder,
    TeacherFolder,
    Threads,
    find_alternatives,
    find_place,
    held_by,
    on_grid,
    parse_limit,
    parse_limits,
    require_reach,
)
from atb.commands.output import print_json, print_line
from atb.commands.search.searching import note_spent, run_one, run_several

if TYPE_CHECKING:
    from atb.search import SearchResult

Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=AMOUNT",
        help="A further one, repeatable: parameters=10M, size=20MB, memory=50MB, energy=30mJ of "
        "what is deployed; or a latency elsewhere, pi4=40ms, with pi4.json beside --predictor.",
    ),
]
Alternatives = Annotated[
    list[str] | None,
    typer.Option(
        "--alternative",
        metavar="NAME",
        help="Another precision or sequence length to deploy in, repeatable: int8, with int8.json "
        "beside --predictor. Each is searched, slices are scored as they would run, the best wins.",
    ),
]


def search(
    latency: Latency = None,
    speedup: Speedup = None,
    reference: Reference = "bert-base",
    limits: Limits = None,
    alternatives: Alternatives = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="random, fast, evolution (the paper's), surrogate-evolution (a surrogate chooses) "
            "or pareto (the whole front below the limit).",
        ),
    ] = "surrogate-evolution",
    space: SpaceName = "mini",
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid",
            metavar="search|paper",
            help="Steps of hidden size, feed-forward, query width and heads: 16, 32, 12, 1 or "
            "4, 4, 12, 1. By default `search` for the built-in spaces, and a space of your own as "
            "it is written.",
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            help="Predicted latencies of candidates, as fractions of the limit: 0.85,1.00, or "
            "0.01,1.00 for pareto.",
        ),
    ] = None,
    layout: Annotated[
        Literal["tinybert", "bert"],
        typer.Option(
            "--format",
            help="Search only what `atb model export` can write in this format: any shape as "
            "tinybert (default); as bert those whose heads a plain BERT can have.",
        ),
    ] = "tinybert",
    superplm: SuperPLMFolder = "mini",
    proxy: Annotated[
        Literal["distillation", "mlm", "task", "finetune"] | None,
        typer.Option(
            "--proxy",
            help="What scores: a loss on held-out text, a task after elastic fine-tuning, or a "
            "short fine-tuning of each slice; by default the loss that the SuperPLM allows.",
        ),
    ] = None,
    elastic: Annotated[
        list[Path] | None,
        typer.Option(
            "--elastic",
            metavar="DIR",
            help="Of --proxy task: what `atb superplm finetune` made of the SuperPLM; repeatable.",
        ),
    ] = None,
    held_out: HeldOutShards = None,
    teacher: TeacherFolder = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="Of --proxy finetune: the task of GLUE or SQuAD that each slice learns from a "
            "part of its rows.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DIR|hf:NAME",
            help="Of --proxy finetune: folder of the task's published files, or a dataset.",
        ),
    ] = None,
    bf16: Annotated[
        bool,
        typer.Option("--bf16", help="Of --proxy task and finetune: matrix products in bfloat16."),
    ] = False,
    predictor: PredictorFile = DEFAULT_PREDICTOR,
    db: Database = DEFAULT_DATABASE,
    out: Annotated[Path, typer.Option("--out", metavar="DIR")] = DEFAULT_SEARCH,
    device: DeviceName = "local",
    runtime: RuntimeName = None,
    precision: Precision = "fp32",
    threads: Threads = 1,
    batch: Batch = 1,
    sequence_length: SequenceLength = 128,
    affinity: Affinity = None,
    generation_size: Annotated[
        int, typer.Option("--generation-size", help="Architectures in a generation.")
    ] = 25,
    generations: Annotated[int, typer.Option("--generations")] = 4,
    finalists: Annotated[
        int, typer.Option("--finalists", help="How many are measured at a time.")
    ] = 5,
    screen: Annotated[
        bool,
        typer.Option(
            "--screen/--no-screen",
            help="Whether surrogate-evolution stops scoring what cannot become a finalist.",
        ),
    ] = True,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N|ray",
            help="Processes that score, or a Ray cluster: ray, ray:auto, ray://HOST:PORT.",
        ),
    ] = None,
    budget: MeasuringBudget = None,
    cache: CacheSize = DEFAULT_CACHE,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Search the best architecture whose measured latency meets a limit.

    The same command resumes an interrupted search. Writes result.json and model/, a transformers
    folder with model.onnx and model.int8.onnx.
    """
    from atb.commands.arguments import find_target, note_emulated, open_cache
    from atb.predictor import load, require_conditions
    from atb.profiler.database import ProfileDatabase
    from atb.search import Budget, MethodSettings, SearchRequest, Target
    from atb.search.constraints import WHOLE, WINDOW
    from atb.units import parse_duration, parse_window

    default = WHOLE if method == "pareto" else WINDOW
    fractions = default if window is None else parse_window(window)
    limit = parse_limit(latency, speedup, reference, fractions)
    bounds, latencies = parse_limits(limits or [])
    settings = MethodSettings(generation_size=generation_size, generations=generations)
    budget_seconds = None if budget is None else parse_duration(budget)
    time_left = Budget(budget_seconds)
    kept = open_cache(cache)
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
    whole = on_grid(space, grid)
    # all that can be refused is refused before torch is imported and the SuperPLM loaded
    SearchRequest(whole, limit, method, settings, seed, finalists)
    fitted = load(predictor, target.settings)
    require_conditions(fitted, target.conditions)
    elsewhere = {name: find_place(name, predictor, cache=kept) for name in latencies}
    others = find_alternatives(alternatives or [], predictor, limit, latencies, cache=kept)
    for where in (target, *(found for _, found in elsewhere.values())):
        note_emulated(where.conditions)

    from atb.data import TextModel
    from atb.models.superplm import folder_of, load_superplm

    loaded = load_superplm(superplm)
    TextModel.read(folder_of(superplm))  # the winner is handed over with its words
    request = SearchRequest(
        held_by(whole, superplm, loaded.architecture),
        limit,
        method,
        settings,
        seed,
        finalists,
        loaded.architecture,
        bounds,
        vocabulary_size=loaded.config.vocab_size,
        positions=loaded.config.max_position_embeddings,
        prune=screen,
        layout=layout,
    )
    # a limit that is out of reach leaves no file behind
    require_reach(request, [fitted, *(known for known, _ in others.values())])
    scoring = Scoring(
        superplm,
        proxy,
        tuple(elastic or ()),
        held_out=held_out,
        teacher=teacher,
        task=task,
        data=data,
        bf16=bf16,
        where=workers,
    )
    made = None if others else scoring.proxy(loaded)  # before there is a file
    with ProfileDatabase(db, create=True) as database:
        further = [
            Target(known, where.verifier(database, time_left), name, latencies[name])
            for name, (known, where) in elsewhere.items()
        ]
        if made is None:
            several = {predictor.stem: (fitted, target), **others}
            result = run_several(
                request, several, scoring, database, loaded, out=out, budget_seconds=budget_seconds
            )
        else:
            first = Target(fitted, target.verifier(database, time_left))
            with scoring.executor() as executor:
                result = run_one(
                    request,
                    [first, *further],
                    made,
                    loaded,
                    out=out,
                    source=superplm,
                    executor=executor,
                )
            note_spent(time_left)
    if json:
        print_json(result.to_json())
        return
    show(result, out)


def show(result: SearchResult, out: Path) -> None:
    """Say who won."""
    from atb.units import format_duration

    winner = result.winner
    assert winner.measured_seconds is not None
    assert winner.interval_seconds is not None
    low, high = (format_duration(seconds) for seconds in winner.interval_seconds)
    print_line(f"winner    {winner.architecture}")
    print_line(
        f"measured  {format_duration(winner.measured_seconds)} ({low} to {high}), "
        f"limit {format_duration(result.constraint_seconds)}, "
        f"predicted {format_duration(winner.predicted_seconds)}"
    )
    for place in winner.further_targets:
        assert place.measured_seconds is not None
        print_line(
            f"{place.name:<9} {format_duration(place.measured_seconds)}, limit "
            f"{format_duration(place.limit_seconds)}, predicted "
            f"{format_duration(place.predicted_seconds)} ({place.conditions})"
        )
    if winner.verdict(result.constraint_seconds) != "met":
        print_line("limit     not certain to be met: an interval reaches above it")
    for one in result.alternatives:
        if one.measured_seconds is None:
            print_line(f"{one.name:<9} {one.refused}")
        else:
            duration = format_duration(one.measured_seconds)
            print_line(
                f"{one.name:<9} {one.proxy:.4f}  {one.winner} in {duration} ({one.conditions})"
            )
    for bound in result.bounds:
        print_line(f"kept      {bound}")
    early = f" ({result.pruned} given up early)" if result.pruned else ""
    print_line(
        f"score     {result.proxy} {winner.proxy:.4f}, best that meets the limit of "
        f"{result.evaluations} scored{early} and {result.feasible:,} within the window"
    )
    for name, words in result.scoring.items():
        print_line(f"{name:<9} {words}")
    if result.method == "pareto":
        covered = result.hypervolumes[-1]
        print_line(f"front     {len(result.front)} architectures, hypervolume {covered:.3f}")
        for candidate in result.front:
            how = "predicted" if candidate.measured_seconds is None else "measured"
            duration = format_duration(candidate.latency_seconds)
            print_line(f"  {duration:>9} {how:9} {candidate.proxy:8.4f}  {candidate.architecture}")
    print_line(f"model     {out / 'model'}")
