"""A search and the export of its winner, and what is printed meanwhile."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from atb.commands.output import print_status, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from atb.commands.arguments import MeasuringTarget, ScoringOptions
    from atb.models.superplm import SuperPLM
    from atb.predictor import LatencyPredictor
    from atb.profiler.database import ProfileDatabase
    from atb.search import Budget, SearchRequest, SearchResult, Target
    from atb.search.scoring import Executor, Proxy


def print_spent(budget: Budget) -> None:
    """Say so if a search ended because its time was spent."""
    if budget.is_spent:
        print_status("the budget is spent: the same command measures on")


def run_several(
    request: SearchRequest,
    several: Mapping[str, tuple[LatencyPredictor, MeasuringTarget]],
    scoring: ScoringOptions,
    database: ProfileDatabase,
    superplm: SuperPLM,
    *,
    out: Path,
    budget_seconds: float | None = None,
) -> SearchResult:
    """Search under each of several settings, then write the model of the best of all.

    Args:
        request: What is searched for.
        several: Predictors and where they were fitted by name, the first one first.
        scoring: How; each is scored in its own precision and length.
        database: Where measurements are kept.
        superplm: Where the weights come from.
        out: Folder of the search.
        budget_seconds: For measuring, under each of them.
    """
    from atb.deploy import export_winner
    from atb.models.superplm import BUNDLED
    from atb.search import Alternative, Budget, Target, search_alternatives

    lengths = {target.settings.sequence_length for _, target in several.values()}
    first, *_ = (predictor for predictor, _ in several.values())
    limit = request.limit_by(first)
    assert limit is not None
    with contextlib.ExitStack() as stack, progress("search") as show:
        alternatives = []
        for name, (predictor, target) in several.items():
            length = target.settings.sequence_length if len(lengths) > 1 else None
            here = replace(scoring, precision=target.settings.precision, sequence_length=length)
            executor = stack.enter_context(here.open_executor())
            verifier = target.verifier(database, Budget(budget_seconds))
            where = Target(predictor, verifier, name)
            alternatives.append(Alternative(where, here.make_proxy(superplm), executor))
        request = replace(request, limit=limit)
        result = search_alternatives(request, alternatives, out, progress=show)
    for one in alternatives:
        print_spent(one.target.verifier.budget)
    print_status("writing the model ...")
    source = BUNDLED.get(scoring.superplm, Path(scoring.superplm))
    export_winner(result, superplm, out / "model", source=source)
    return result


def run_one(
    request: SearchRequest,
    targets: Sequence[Target],
    proxy: Proxy,
    superplm: SuperPLM,
    *,
    out: Path,
    source: str,
    executor: Executor | None = None,
) -> SearchResult:
    """Search, then write the winner's model below `out`.

    Args:
        request: What is searched for.
        targets: Where the model has to be fast.
        proxy: Scores candidates.
        superplm: Where the weights come from.
        out: Folder of the search.
        source: Name or folder of the SuperPLM, for the model card.
        executor: What computes scores; this process by default.
    """
    from atb.deploy import export_winner
    from atb.models.superplm import BUNDLED
    from atb.search import search as find

    with progress("search") as show:
        result = find(request, targets, proxy, out, executor=executor, progress=show)
    print_status("writing the model ...")
    export_winner(result, superplm, out / "model", source=BUNDLED.get(source, Path(source)))
    return result
