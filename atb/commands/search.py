"""`atb search`: the best architecture under a latency limit, measured and ready to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atb.console import note, print_json, progress
from atb.errors import InputError
from atb.limits import find_place, parse_limit, parse_limits
from atb.options import (
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    DEFAULT_SEARCH,
    Affinity,
    Batch,
    Database,
    DeviceName,
    Json,
    Precision,
    PredictorFile,
    RuntimeName,
    Seed,
    SequenceLength,
    SpaceName,
    SuperPLMFolder,
    Threads,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atb.models.superplm import SuperPLM
    from atb.predictor.predictor import LatencyPredictor
    from atb.search.joint import Place
    from atb.search.proxy import Proxy, ProxyName
    from atb.search.result import SearchResult
    from atb.search.run import SearchRequest
    from atb.search.verification import Verifier
    from atb.search.workers import Workers

Latency = Annotated[
    str | None, typer.Option("--latency", metavar="10ms", help="The limit as a time.")
]
Speedup = Annotated[
    float | None,
    typer.Option("--speedup", metavar="7", help="The limit as a speed-up over --reference."),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=AMOUNT",
        help="A further one, repeatable: parameters=10M, size=20MB, memory=50MB, energy=30mJ of "
        "what is deployed; or a latency elsewhere, pi4=40ms, with pi4.json beside --predictor.",
    ),
]
Reference = Annotated[
    str, typer.Option("--reference", metavar="ARCH", help="Measured first, on the same device.")
]


def search(
    latency: Latency = None,
    speedup: Speedup = None,
    reference: Reference = "bert-base",
    limits: Limits = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="random, fast, evolved (the paper's), evolved+ (a surrogate chooses) "
            "or pareto (the whole front below the limit).",
        ),
    ] = "evolved+",
    space: SpaceName = "mini",
    grid: Annotated[
        str, typer.Option("--grid", metavar="search|paper", help="Steps 16/32/12/1, or 4/4/12/1.")
    ] = "search",
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            help="Predicted latencies of candidates, as fractions of the limit: 0.85,1.00, or "
            "0.01,1.00 for pareto.",
        ),
    ] = None,
    superplm: SuperPLMFolder = "mini",
    proxy: Annotated[
        Literal["distillation", "mlm", "task"] | None,
        typer.Option(
            "--proxy", help="What scores: a held-out loss, or tasks; what the SuperPLM allows."
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
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Of --proxy task: matrix products in bfloat16.")
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
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N|ray",
            help="Processes that score, or a Ray cluster: ray, ray:auto, ray://HOST:PORT.",
        ),
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Search the best architecture whose measured latency meets a limit.

    The same command resumes an interrupted search. Writes result.json and model/, a transformers
    folder with model.onnx and model.int8.onnx.
    """
    from atb.models.space import find_space
    from atb.predictor.file import load
    from atb.predictor.predictor import require_conditions
    from atb.profiler.database import ProfileDatabase
    from atb.search.bounds import BoundReach
    from atb.search.candidates import feasible, on_search_grid
    from atb.search.constraint import WHOLE, WINDOW, LatencyLimit
    from atb.search.contract import MethodSettings
    from atb.search.joint import Place
    from atb.search.proxy import make_proxy
    from atb.search.run import SearchRequest
    from atb.search.verification import Verifier
    from atb.target import find_target
    from atb.units import parse_window

    default = WHOLE if method == "pareto" else WINDOW
    fractions = default if window is None else parse_window(window)
    limit = parse_limit(latency, speedup, reference, fractions)
    bounds, latencies = parse_limits(limits or [])
    settings = MethodSettings(generation_size=generation_size, generations=generations)
    target = find_target(
        device,
        runtime,
        precision=precision,
        threads=threads,
        batch=batch,
        sequence_length=sequence_length,
        affinity=affinity,
    )
    whole = on_search_grid(find_space(space), grid)
    # all that can be refused is refused before torch is imported and the SuperPLM loaded
    SearchRequest(whole, limit, method, settings, seed, finalists)
    fitted = load(predictor, target.settings)
    require_conditions(fitted, target.conditions)
    elsewhere = {name: find_place(name, predictor) for name in latencies}

    from atb.models.embedded import load_superplm

    loaded = load_superplm(superplm)
    largest = loaded.architecture
    searched = on_search_grid(whole, grid, largest)
    request = SearchRequest(
        searched,
        limit,
        method,
        settings,
        seed,
        finalists,
        largest,
        bounds,
        vocabulary_size=loaded.config.vocab_size,
        positions=loaded.config.max_position_embeddings,
    )
    if isinstance(limit, LatencyLimit):  # one that is out of reach leaves no file behind
        reach = BoundReach(bounds, request.deployed(fitted))
        feasible(searched, fitted, limit, largest=largest, bounds=reach)
    with ProfileDatabase(db, create=True) as database:
        places = [
            Place(
                name,
                latencies[name],
                known,
                Verifier(where.device, where.runtime, where.settings, database),
            )
            for name, (known, where) in elsewhere.items()
        ]
        verifier = Verifier(target.device, target.runtime, target.settings, database)
        scorers = make_workers(workers, superplm, proxy, elastic or [], bf16=bf16)
        try:
            result = run(
                request,
                fitted,
                make_proxy(loaded, proxy, elastic or [], bf16=bf16),
                verifier,
                loaded,
                out,
                source=superplm,
                places=places,
                workers=scorers,
            )
        finally:
            if scorers is not None:
                scorers.close()
    if json:
        print_json(result.to_json())
        return
    show(result, out)


def make_workers(
    text: str | None,
    superplm: str,
    proxy: ProxyName | None,
    elastic: Sequence[Path],
    *,
    bf16: bool,
) -> Workers | None:
    """Who computes scores, from the words of the command line; None for this process.

    Raises:
        InputError: It is no number and no Ray.
    """
    from functools import partial

    from atb.search.proxy import make_proxy
    from atb.search.workers import Processes, RayWorkers

    if text is None:
        return None
    factory = partial(make_proxy, superplm, proxy, tuple(elastic), bf16=bf16)
    if text.isdecimal():
        return Processes(factory, int(text))
    if text == "ray":
        return RayWorkers(factory)
    if text.startswith("ray:"):
        return RayWorkers(factory, address=text if text.startswith("ray://") else text[4:])
    raise InputError(
        f"--workers is {text!r}: give a number of processes, ray, ray:auto or ray://HOST:PORT."
    )


def run(
    request: SearchRequest,
    predictor: LatencyPredictor,
    proxy: Proxy,
    verifier: Verifier,
    superplm: SuperPLM,
    out: Path,
    *,
    source: str,
    places: Sequence[Place] = (),
    workers: Workers | None = None,
) -> SearchResult:
    """Search, then write the winner's model below `out`.

    Args:
        request: What is searched for.
        predictor: Fitted under the conditions of the verifier.
        proxy: Scores candidates.
        verifier: Measures finalists.
        superplm: Where the weights come from.
        out: Folder of the search.
        source: Name or folder of the SuperPLM, for the model card.
        places: Further devices or settings with limits of their own.
        workers: Who computes scores; this process by default.
    """
    from atb.models.embedded import EMBEDDED
    from atb.search.export import export_winner
    from atb.search.run import search as find

    with progress("search") as told:
        result = find(
            request,
            predictor,
            proxy,
            verifier,
            out,
            places=places,
            workers=workers,
            progress=told,
        )
    note("writing the model ...")
    export_winner(result, superplm, out / "model", source=EMBEDDED.get(source, Path(source)))
    return result


def show(result: SearchResult, out: Path) -> None:
    """Say who won."""
    from atb.units import format_duration

    winner = result.winner
    assert winner.measured_seconds is not None
    assert winner.interval_seconds is not None
    low, high = (format_duration(seconds) for seconds in winner.interval_seconds)
    typer.echo(f"winner    {winner.architecture}")
    typer.echo(
        f"measured  {format_duration(winner.measured_seconds)} ({low} to {high}), "
        f"limit {format_duration(result.constraint_seconds)}, "
        f"predicted {format_duration(winner.predicted_seconds)}"
    )
    for place in winner.elsewhere:
        assert place.measured_seconds is not None
        typer.echo(
            f"{place.name:<9} {format_duration(place.measured_seconds)}, limit "
            f"{format_duration(place.limit_seconds)}, predicted "
            f"{format_duration(place.predicted_seconds)} ({place.conditions})"
        )
    for bound in result.bounds:
        typer.echo(f"kept      {bound}")
    typer.echo(
        f"score     {result.proxy} {winner.proxy:.4f}, best of {result.evaluations} scored and "
        f"{result.feasible:,} within the window"
    )
    if result.method == "pareto":
        covered = result.hypervolumes[-1]
        typer.echo(f"front     {len(result.front)} architectures, hypervolume {covered:.3f}")
        for candidate in result.front:
            how = "predicted" if candidate.measured_seconds is None else "measured"
            duration = format_duration(candidate.latency_seconds)
            typer.echo(f"  {duration:>9} {how:9} {candidate.proxy:8.4f}  {candidate.architecture}")
    typer.echo(f"model     {out / 'model'}")
