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
    from collections.abc import Sequence

    from atb.models.superplm import SuperPLM
    from atb.predictor.predictor import LatencyPredictor, WorkPredictor
    from atb.search.bounds import Bound
    from atb.search.constraint import LatencyLimit, SpeedUp
    from atb.search.joint import Place
    from atb.search.proxy import Proxy
    from atb.search.result import SearchResult
    from atb.search.run import SearchRequest
    from atb.search.verification import Verifier
    from atb.target import Target

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
    from atb.search.bounds import BoundReach
    from atb.search.candidates import feasible, on_search_grid
    from atb.search.constraint import WHOLE, WINDOW
    from atb.search.contract import MethodSettings
    from atb.search.joint import Place
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
        result = run(
            request,
            fitted,
            make_proxy(loaded, proxy, elastic),
            verifier,
            loaded,
            out,
            source=superplm,
            places=places,
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


def parse_limits(texts: Sequence[str]) -> tuple[tuple[Bound, ...], dict[str, float]]:
    """Further limits: on what is deployed, and seconds by the name of a place.

    Raises:
        InputError: One is of no known form, or was given twice.
    """
    from atb.search.bounds import BOUNDS, parse_bound
    from atb.units import parse_duration

    bounds: dict[str, Bound] = {}
    latencies: dict[str, float] = {}
    for text in texts:
        name, equals, amount = text.partition("=")
        name = name.strip()
        if name in bounds or name in latencies:
            raise InputError(f"--limit {name} was given twice: give the tighter one.")
        if name in BOUNDS or not equals:
            bounds[name] = parse_bound(text)
        else:
            latencies[name] = parse_duration(amount)
    return tuple(bounds.values()), latencies


def find_place(name: str, predictor: Path) -> tuple[WorkPredictor, Target]:
    """The predictor of a further place, and where it was fitted.

    Args:
        name: A predictor file, or its name without .json beside the first one.
        predictor: The first one.

    Raises:
        InputError: There is no such file, or its conditions are not to be had here.
    """
    from atb.predictor.file import load
    from atb.predictor.predictor import require_conditions
    from atb.search.bounds import BOUNDS
    from atb.target import Target, find_target

    path = Path(name) if name.endswith(".json") else predictor.with_name(f"{name}.json")
    if not path.is_file():
        raise InputError(
            f"--limit {name} is none of {', '.join(BOUNDS)}, and there is no predictor {path}: fit "
            "one there with `atb predictor train --out`."
        )
    known = load(path)
    conditions = known.conditions
    settings = conditions.settings
    place = find_target(
        conditions.device,
        conditions.runtime,
        precision=settings.precision,
        threads=settings.threads,
        batch=settings.batch,
        sequence_length=settings.sequence_length,
    )
    target = Target(place.device, place.runtime, settings)
    require_conditions(known, target.conditions)
    return known, target


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
    places: Sequence[Place] = (),
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
    """
    from atb.models.embedded import EMBEDDED
    from atb.search.export import export_winner
    from atb.search.run import search as find

    with progress("search") as told:
        result = find(request, predictor, proxy, verifier, out, places=places, progress=told)
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
        typer.echo(
            f"front     {len(result.front)} of them, hypervolume {result.hypervolumes[-1]:.3f}"
        )
        for candidate in result.front:
            how = "predicted" if candidate.measured_seconds is None else "measured"
            duration = format_duration(candidate.latency_seconds)
            typer.echo(f"  {duration:>9} {how:9} {candidate.proxy:8.4f}  {candidate.architecture}")
    typer.echo(f"model     {out / 'model'}")
