"""`atb search`: the best architecture under a latency limit, measured and ready to deploy."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atb.commands.arguments import (
    DEFAULT_DATABASE,
    DEFAULT_PREDICTOR,
    DEFAULT_SEARCH,
    Database,
    ImprovementOptions,
    Json,
    MeasuringBudget,
    Options,
    PredictorFile,
    ScoringOptions,
    SearchLimitOptions,
    Seed,
    SpaceName,
    TargetOptions,
    find_alternatives,
    find_place,
    held_by,
    on_grid,
    open_cache,
    option,
    parse_limits,
    print_emulated,
    require_reach,
)
from atb.commands.output import print_search, print_status, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atb.commands.arguments import MeasuringTarget
    from atb.data.corpus import SentencePairs
    from atb.deploy import Improvement
    from atb.models import Architecture, SearchSpace
    from atb.models.superplm import SuperPLM
    from atb.predictor import LatencyPredictor, WorkPredictor
    from atb.search import Budget, SearchRequest, SearchResult
    from atb.search.constraints import LatencyLimit, Percentile, SpeedUp


class CandidateOptions(Options, panel="Candidates"):
    """Which architectures are candidates.

    Attributes:
        members: A `SearchSpace`, in place of the name of one.
    """

    space: SpaceName = "mini"
    grid: str | None = option(
        default=None,
        metavar="search|paper",
        help="Search in coarse steps of widths and heads (`search`) or the paper's (`paper`); "
        "by default `search`, and the steps of a space of your own as written.",
    )
    layout: Literal["tinybert", "bert"] = option(
        "--format",
        default="tinybert",
        help="Search only what `atb model export` can write in this format: `tinybert` is any "
        "shape, `bert` those whose heads a plain BERT can have.",
    )
    members: Any = None


class MethodOptions(Options, panel="Method"):
    """How candidates are searched."""

    method: str = option(
        default="surrogate-evolution",
        metavar="NAME",
        help="Search by this method: random, fast, evolution (as in the paper), "
        "surrogate-evolution (a surrogate chooses what to score), or pareto (the whole front "
        "below the limit).",
    )
    generation_size: int = option(default=25, help="Score this many architectures in a generation.")
    generations: int = option(default=4, help="Search for this many generations.")
    finalists: int = option(default=5, help="Measure this many finalists at a time.")
    prune: bool = option(
        "--prune/--no-prune",
        default=True,
        help="Stop scoring a candidate as soon as it cannot become a finalist, for "
        "surrogate-evolution.",
        rich_help_panel="Pruning",
    )
    budget: MeasuringBudget = None
    seed: Seed = 0

    def request(
        self, space: SearchSpace, limit: LatencyLimit | Percentile | SpeedUp
    ) -> SearchRequest:
        """What is searched for in a space.

        Raises:
            InputError: The method is unknown, or a number is impossible.
        """
        from atb.search import MethodSettings, SearchRequest

        settings = MethodSettings(
            generation_size=self.generation_size, generations=self.generations
        )
        return SearchRequest(
            space, limit, self.method, settings, self.seed, self.finalists, prune=self.prune
        )


class FileOptions(Options, panel="Files"):
    """What is read and written."""

    predictor: PredictorFile = DEFAULT_PREDICTOR
    db: Database = DEFAULT_DATABASE
    out: Path = option(
        default=DEFAULT_SEARCH, metavar="DIR", help="Write the result and the model to this folder."
    )
    json: Json = False


def search(
    wanted: SearchLimitOptions,
    candidates: CandidateOptions,
    how: MethodOptions,
    scoring: ScoringOptions,
    improvement: ImprovementOptions,
    options: TargetOptions,
    files: FileOptions,
) -> None:
    """Search the best architecture whose measured latency meets a limit.

    The same command resumes an interrupted search. It writes result.json and model/, a transformers
    folder with model.onnx and model.int8.onnx. How good the model is as an encoder of sentences is
    told by its agreement with its teacher on sentence pairs.

    Example:
        atb search --latency 6ms --device local --space mini
    """
    result = find_winner(wanted, candidates, how, scoring, options, files, improvement)
    print_search(result, files.out, json=files.json)


def find_winner(
    wanted: SearchLimitOptions,
    candidates: CandidateOptions,
    how: MethodOptions,
    scoring: ScoringOptions,
    options: TargetOptions,
    files: FileOptions,
    improvement: ImprovementOptions | None = None,
    *,
    fitted: LatencyPredictor | None = None,
) -> SearchResult:
    """Search, measure the finalists, and write the result and the winner's model.

    The predictor is read from its file where none is handed over.

    Raises:
        InputError: Something given is impossible, or does not go together.
        RunError: Nothing meets the limits, or the device failed.
    """
    given = _read_inputs(wanted, candidates, how, options, files, fitted)

    from atb.data import TextModel
    from atb.data.corpus import SentencePairs
    from atb.models.superplm import folder_of, load_superplm

    superplm = load_superplm(scoring.superplm)
    # the winner is handed over with its words
    words = TextModel.read(folder_of(scoring.superplm))
    largest = superplm.architecture
    request = replace(
        given.request,
        space=held_by(given.request.space, scoring.superplm, largest),
        largest=largest,
        vocabulary_size=superplm.config.vocab_size,
        positions=superplm.config.max_position_embeddings,
    )
    # a limit that is out of reach leaves no file behind
    require_reach(request, [given.fitted, *(p for p, _ in given.alternatives.values())])
    # what would fail after the search is refused before it
    pairs = None if scoring.pairs is None else SentencePairs.read(scoring.pairs)
    further = None if improvement is None else improvement.read(words, files.out)
    if further is not None:
        further.check(superplm)
    given = replace(given, request=request, improvement=further, pairs=pairs)
    run = _run_alternatives if given.alternatives else _run
    result = run(given, superplm, scoring, files)
    return _hand_over(result, given, superplm, scoring, files)


@dataclass(frozen=True)
class _Inputs:
    """What a search is given, read and checked.

    Attributes:
        request: What is searched for, before the SuperPLM is known.
        fitted: The predictor of the device.
        target: Where finalists are measured.
        elsewhere: Limits in seconds, predictors and targets of further devices, by name.
        alternatives: Predictors and targets of other settings, by name.
        budget_seconds: For measuring; None for no limit.
        improvement: How the winner is improved, once the SuperPLM is known.
        pairs: Sentence pairs by which it is scored; the shipped ones where None.
    """

    request: SearchRequest
    fitted: LatencyPredictor
    target: MeasuringTarget
    elsewhere: Mapping[str, tuple[float, WorkPredictor, MeasuringTarget]]
    alternatives: Mapping[str, tuple[WorkPredictor, MeasuringTarget]]
    budget_seconds: float | None
    improvement: Improvement | None = None
    pairs: SentencePairs | None = None


def _read_inputs(
    wanted: SearchLimitOptions,
    candidates: CandidateOptions,
    how: MethodOptions,
    options: TargetOptions,
    files: FileOptions,
    fitted: LatencyPredictor | None,
) -> _Inputs:
    """Refuse all that can be refused before torch is imported and the SuperPLM loaded."""
    from atb.predictor import load, require_conditions
    from atb.units import parse_duration

    limit = wanted.parse_within(how.method)
    bounds, latencies = parse_limits(wanted.limits or [])
    budget_seconds = None if how.budget is None else parse_duration(how.budget)
    cache = open_cache(options.cache)
    target = options.find(cache)
    space = on_grid(candidates.members or candidates.space, candidates.grid)
    request = replace(how.request(space, limit), bounds=bounds, layout=candidates.layout)
    fitted = fitted or load(files.predictor, target.settings)
    require_conditions(fitted, target.conditions)
    elsewhere = {
        name: (seconds, *find_place(name, files.predictor, cache=cache))
        for name, seconds in latencies.items()
    }
    alternatives = find_alternatives(
        wanted.alternatives or [], files.predictor, limit, latencies, cache=cache
    )
    for place in (target, *(found for _, _, found in elsewhere.values())):
        print_emulated(place.conditions)
    return _Inputs(request, fitted, target, elsewhere, alternatives, budget_seconds)


def _run(
    given: _Inputs, superplm: SuperPLM, scoring: ScoringOptions, files: FileOptions
) -> SearchResult:
    from atb.profiler.database import ProfileDatabase
    from atb.search import Budget, Target, search as find

    # scores are refused before there is a file
    proxy = scoring.make_proxy(superplm)
    with ProfileDatabase(files.db, create=True) as database:
        time_left = Budget(given.budget_seconds)
        first = Target(given.fitted, given.target.verifier(database, time_left))
        further = [
            Target(predictor, target.verifier(database, time_left), name, seconds)
            for name, (seconds, predictor, target) in given.elsewhere.items()
        ]
        with scoring.open_executor(proxy) as executor, progress("search") as show:
            targets = [first, *further]
            result = find(
                given.request, targets, proxy, files.out, executor=executor, progress=show
            )
    _print_spent(time_left)
    return result


def _run_alternatives(
    given: _Inputs, superplm: SuperPLM, scoring: ScoringOptions, files: FileOptions
) -> SearchResult:
    """Search under each of several settings.

    Each is scored in its own precision and length, and has the whole budget for measuring.
    """
    from atb.profiler.database import ProfileDatabase
    from atb.search import Alternative, Budget, Target, search_alternatives

    several = {files.predictor.stem: (given.fitted, given.target), **given.alternatives}
    lengths = {target.settings.sequence_length for _, target in several.values()}
    limit = given.request.limit_by(given.fitted)
    assert limit is not None
    with contextlib.ExitStack() as stack, progress("search") as show:
        database = stack.enter_context(ProfileDatabase(files.db, create=True))
        alternatives = []
        for name, (predictor, target) in several.items():
            length = target.settings.sequence_length if len(lengths) > 1 else None
            here = replace(scoring, precision=target.settings.precision, sequence_length=length)
            proxy = here.make_proxy(superplm)
            executor = stack.enter_context(here.open_executor(proxy))
            verifier = target.verifier(database, Budget(given.budget_seconds))
            where = Target(predictor, verifier, name)
            alternatives.append(Alternative(where, proxy, executor))
        request = replace(given.request, limit=limit)
        result = search_alternatives(request, alternatives, files.out, progress=show)
    for one in alternatives:
        _print_spent(one.target.verifier.budget)
    return result


def _hand_over(
    result: SearchResult,
    given: _Inputs,
    superplm: SuperPLM,
    scoring: ScoringOptions,
    files: FileOptions,
) -> SearchResult:
    """Write the winner's model, and tell how good it is."""
    from atb.deploy import hand_over
    from atb.models.superplm import folder_of
    from atb.training.one_shot import score_teacher

    print_status("writing the model ...")
    with progress("improve") as show:
        return hand_over(
            result,
            superplm,
            files.out,
            source=folder_of(scoring.superplm),
            improvement=given.improvement,
            pairs=given.pairs,
            teacher=score_teacher(superplm, scoring.teacher).teacher if scoring.teacher else None,
            teacher_seconds=_seconds_of(superplm.architecture, given, files.db),
            progress=show,
        )


def _seconds_of(whole: Architecture, given: _Inputs, db: str) -> float | None:
    """The latency of the whole SuperPLM, measured or predicted; None where neither is known."""
    from atb.profiler import read_measurements
    from atb.profiler.database import ProfileDatabase

    with ProfileDatabase(db) as database:
        known = read_measurements(database, conditions=given.target.conditions)
    measured = [found.latency_seconds for found in known if found.subject == whole]
    if measured:
        return measured[-1]
    predicted = given.fitted.predict_architectures([whole])
    return float(predicted.latency_seconds[0]) if predicted.supported[0] else None


def _print_spent(budget: Budget) -> None:
    """Say so if a search ended because its time was spent."""
    if budget.is_spent:
        print_status("the budget is spent: the same command measures on")
