"""Several settings of one device, of which the best is chosen: precisions, sequence lengths.

Each is searched on its own, by its own predictor and with slices scored as they would run there;
so a larger model in int8 stands against a smaller one in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atb.errors import InputError
from atb.predictor import LatencyPredictor
from atb.search.request import SearchRequest
from atb.search.result import SearchResult, Weighed, write_result
from atb.search.run import RESULT, search
from atb.search.scoring import Proxy, Workers
from atb.search.verification import Progress, Verifier

__all__ = ["Settings", "search_settings"]


@dataclass(frozen=True)
class Settings:
    """What a model may be deployed in.

    Attributes:
        name: Of the folder of its search.
        predictor: Fitted under these conditions.
        verifier: Measures under them.
        proxy: Scores slices as they would run.
        workers: Who computes scores by the proxy; this process by default.
    """

    name: str
    predictor: LatencyPredictor
    verifier: Verifier
    proxy: Proxy
    workers: Workers | None = None


def search_settings(
    request: SearchRequest,
    several: Sequence[Settings],
    out: Path,
    *,
    progress: Progress | None = None,
) -> SearchResult:
    """Search under each of several settings; the winner with the best score wins.

    The same call resumes. Searches lie in folders by the names of their settings.

    Args:
        request: What is searched for in all of them; its limit is a latency.
        several: The settings; their scores must mean the same.
        out: Folder for all, and for the `result.json` of the best.
        progress: Told what is done, what there is to do, and a word on what is going on.

    Raises:
        InputError: None of them has an architecture within the limits.
        RunError: No finalist met the limit, or the device failed; what was measured stays.
    """
    found: dict[str, SearchResult] = {}
    weighed: list[Weighed] = []
    refused: InputError | None = None
    for one in several:
        conditions = str(one.verifier.conditions)
        try:
            result = search(
                request,
                one.predictor,
                one.proxy,
                one.verifier,
                out / one.name,
                workers=one.workers,
                progress=_told(one.name, progress),
            )
        except InputError as error:  # out of reach there, and perhaps not elsewhere
            refused = refused or error
            weighed.append(Weighed(one.name, conditions, refused=str(error)))
            continue
        found[one.name] = result
        winner = result.winner
        weighed.append(
            Weighed(
                one.name,
                conditions,
                str(winner.architecture),
                winner.proxy,
                winner.measured_seconds,
            )
        )
    if refused is not None and not found:
        raise refused
    weighed.sort(key=_worth, reverse=True)
    best = replace(found[weighed[0].name], weighed=tuple(weighed))
    write_result(best, out / RESULT)
    return best


def _worth(found: Weighed) -> tuple[float, float]:
    """By score, then by latency; what found nothing comes last."""
    if found.proxy is None or found.measured_seconds is None:
        return float("-inf"), 0.0
    return found.proxy, -found.measured_seconds


def _told(name: str, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, word: progress(done, total, f"{name}: {word}")
