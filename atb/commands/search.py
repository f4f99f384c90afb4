"""`atb search`: the best architecture under a latency limit, measured and ready to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atb.console import note, print_json, progress
from atb.errors import InputError
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
    from atb.models.superplm import SuperPLM
    from atb.predictor.predictor import LatencyPredictor
    from atb.search.constraint import LatencyLimit, SpeedUp
    from atb.search.proxy import Proxy
    from atb.search.result import SearchResult
    from atb.search.run import SearchRequest
    from atb.search.verification import Verifier

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
        help="A further one, on what is deployed: parameters=10M, size=20MB, memory=50MB, "
        "energy=30mJ; repeatable.",
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
            "--method", metavar="random|fast|evolved|evolved+", help="How candidates come."
        ),
    ] = "evolved",
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
    from atb.search.bounds import BoundReach, parse_bound
    from atb.search.candidates import feasible, on_search_grid
    from atb.search.constraint import WHOLE, WINDOW, LatencyLimit
    from atb.search.contract import MethodSettings
    from atb.search.run import SearchRequest
    from atb.search.verification import Verifier
    from atb.target import find_target
    from atb.units import parse_window

    default = WHOLE if method == "pareto" else WINDOW
    fractions = default if window is None else parse_window(window)
    limit = parse_limit(latency, speedup, reference, fractions)
    bounds = tuple(parse_bound(text) for text in limits or ())
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
    reach = BoundReach(bounds, request.deployed(fitted))
    if isinstance(limit, LatencyLimit):  # a limit out of reach leaves no file behind
        feasible(searched, fitted, limit, largest=largest, bounds=reach)
    with ProfileDatabase(db, create=True) as database:
        verifier = Verifier(target.device, target.runtime, target.settings, database)
        result = run(
            request,
            fitted,
            make_proxy(loaded, proxy, elastic),
            verifier,
            loaded,
            out,
            source=superplm,
        )
    if json:
        print_json(result.to_json())
        return
    show(result, out)


def parse_limit(
    latency: str | None, speedup: float | None, reference: str, window: tuple[float, float]
) -> LatencyLimit | SpeedUp:
    """The limit from the words of the command line.

    Raises:
        InputError: Neither or both were given, or one is impossible.
    """
    from atb.models.known import resolve
    from atb.search.constraint import LatencyLimit, SpeedUp
    from atb.units import parse_duration

    if (latency is None) == (speedup is None):
        raise InputError("Give the limit either as --latency 10ms or as --speedup 7.")
    if latency is not None:
        return LatencyLimit(parse_duration(latency), window)
    assert speedup is not None
    return SpeedUp(speedup, resolve(reference), reference, window)


def make_proxy(
    superplm: SuperPLM,
    name: Literal["distillation", "mlm", "task"] | None,
    elastic: list[Path] | None = None,
) -> Proxy:
    """The proxy of this name, or the one that the SuperPLM allows."""
    from atb.search.proxy import DistillationProxy, MlmProxy, TaskProxy, default_proxy

    if elastic and name not in (None, "task"):
        raise InputError(f"--proxy {name} has no use for --elastic: leave it out.")
    if elastic or name == "task":
        return TaskProxy(elastic or [])
    if name is None:
        return default_proxy(superplm)
    return DistillationProxy(superplm) if name == "distillation" else MlmProxy(superplm)


def run(
    request: SearchRequest,
    predictor: LatencyPredictor,
    proxy: Proxy,
    verifier: Verifier,
    superplm: SuperPLM,
    out: Path,
    *,
    source: str,
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
    """
    from atb.models.embedded import EMBEDDED
    from atb.search.export import export_winner
    from atb.search.run import search as find

    with progress("search") as told:
        result = find(request, predictor, proxy, verifier, out, progress=told)
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
    for bound in result.bounds:
        typer.echo(f"kept      {bound}")
    typer.echo(
        f"score     {result.proxy} {winner.proxy:.4f}, best of {result.evaluations} scored and "
        f"{result.feasible:,} within the window"
    )
    if result.method == "pareto":
        typer.echo(
            f"front     {len(result.front)} of them, hypervolume {result.hypervolumes[-1]:.3f}"
        )
        for candidate in result.front:
            how = "predicted" if candidate.measured_seconds is None else "measured"
            duration = format_duration(candidate.latency_seconds)
            typer.echo(f"  {duration:>9} {how:9} {candidate.proxy:8.4f}  {candidate.architecture}")
    typer.echo(f"model     {out / 'model'}")
