"""Alternative settings of one device, such as precisions, of which the best is chosen.

Each is searched on its own, by its own predictor and with slices scored as they would run there;
so a larger model in int8 stands against a smaller one in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atb.errors import InputError
from atb.search.request import SearchRequest
from atb.search.result import AlternativeResult, SearchResult, write_result
from atb.search.run import RESULT, search
from atb.search.scoring import Executor, Proxy
from atb.search.targets import Target
from atb.search.verifier import Progress


@dataclass(frozen=True)
class Alternative:
    """One of several settings in which a model may be deployed.

    Attributes:
        target: Predicts and measures under the settings; its name is that of the search's folder.
        proxy: Scores slices as they would run under the settings.
        executor: Computes the scores of the proxy; this process by default.
    """

    target: Target
    proxy: Proxy
    executor: Executor | None = None


def search_alternatives(
    request: SearchRequest,
    alternatives: Sequence[Alternative],
    out: Path,
    *,
    progress: Progress | None = None,
) -> SearchResult:
    """Search under each of several settings; the winner with the best score wins.

    The same call resumes. Each search lies in a folder by the name of its target.

    Args:
        request: What is searched for under all of them; its limit is a latency.
        alternatives: The settings; scores of their proxies must mean the same.
        out: Folder for all, and for the `result.json` of the best.
        progress: Called with the steps done, the steps in all, and a word on what is going on.

    Raises:
        InputError: None of them has an architecture within the limits.
        RunError: No finalist met the limit, or the device failed; what was measured stays.
    """
    found: dict[str, SearchResult] = {}
    results: list[AlternativeResult] = []
    refused: InputError | None = None
    for one in alternatives:
        name, conditions = one.target.name, str(one.target.verifier.conditions)
        told = _named(name, progress)
        try:
            found[name] = search(
                request, [one.target], one.proxy, out / name, executor=one.executor, progress=told
            )
        except InputError as error:  # out of reach there, and perhaps not under other settings
            refused = refused or error
            results.append(AlternativeResult(name, conditions, refused=str(error)))
            continue
        winner = found[name].winner
        text = str(winner.architecture)
        results.append(
            AlternativeResult(name, conditions, text, winner.proxy, winner.measured_seconds)
        )
    if refused is not None and not found:
        raise refused
    results.sort(key=_worth, reverse=True)
    best = replace(found[results[0].name], alternatives=tuple(results))
    write_result(best, out / RESULT)
    return best


def _worth(found: AlternativeResult) -> tuple[float, float]:
    """By score, then by latency; what found nothing comes last."""
    if found.proxy is None or found.measured_seconds is None:
        return float("-inf"), 0.0
    return found.proxy, -found.measured_seconds


def _named(name: str, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, word: progress(done, total, f"{name}: {word}")
