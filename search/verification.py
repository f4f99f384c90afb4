"""Finalists are measured before anything is returned: what was predicted is only a promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from atb.models import Architecture
from atb.search.candidate import Candidate
from atb.search.targets import LatencyResult, Targets
from atb.search.verifier import Progress

#: Groups of finalists that are measured before the search starts over with corrected predictions.
MOST_GROUPS = 4
#: Share by which two campaigns may differ although their intervals are narrower; a winner is to
#: meet the limit when it is measured on another day too.
MARGIN = 0.01


@dataclass
class Verification:
    """What measuring finalists has shown so far.

    Attributes:
        measured: Measurements, None for finalists that failed.
        winner: The best-scoring one that meets the limit, if any.
        campaigns: Names of the campaigns.
    """

    measured: dict[Architecture, LatencyResult | None] = field(default_factory=dict)
    winner: Architecture | None = None
    campaigns: list[str] = field(default_factory=list)

    def correction(self, predicted_seconds: Callable[[Architecture], float]) -> float:
        """Factor by which predictions are to be multiplied, the median over the finalists.

        Args:
            predicted_seconds: The uncorrected prediction of a finalist.
        """
        ratios = [
            measurement.latency_seconds / predicted_seconds(architecture)
            for architecture, measurement in self.measured.items()
            if measurement is not None
        ]
        return float(np.median(ratios)) if ratios else 1.0


def choose_finalists(
    candidates: Sequence[Candidate], limit_seconds: float, count: int
) -> list[Candidate]:
    """Choose the best, and the best of those that are predicted to meet the limit safely.

    Two of five places go to candidates whose whole predicted interval meets the limit, so that
    one group of finalists usually contains a winner even where the predictor is too optimistic.

    Args:
        candidates: Scored ones that were not measured, the best first.
        limit_seconds: The latency limit.
        count: Finalists to choose at most.
    """
    within = [c for c in candidates if c.predicted_seconds <= limit_seconds]
    safe = [c for c in within if c.predicted_upper_seconds <= limit_seconds]
    chosen = within[: count - min(len(safe), 2 * count // 5)]
    chosen += [c for c in safe if c not in chosen][: count - len(chosen)]
    chosen += [c for c in within if c not in chosen][: count - len(chosen)]
    return sorted(chosen, key=within.index)


def verify(
    candidates: Sequence[Candidate],
    limit_seconds: float,
    targets: Targets,
    *,
    campaign: str,
    finalists: int,
    known: Verification,
    meets: Callable[[LatencyResult], bool] = lambda _: True,
    progress: Progress | None = None,
) -> Verification:
    """Measure groups of finalists until one meets the limit and none that may scores better.

    It meets the limit with its whole interval and a margin; a better one may if it was not measured
    and is predicted to, by predictions that what was measured has corrected. Where the groups, the
    candidates or the time end without such a winner, the best-scoring one whose latency meets the
    limit is taken, and none if there is none.

    Args:
        candidates: Scored ones, the best first.
        limit_seconds: The limit.
        targets: Measure them.
        campaign: First part of the names of the campaigns.
        finalists: How many to measure in a group.
        known: What earlier rounds have shown; it is added to.
        meets: Whether a measured one meets the limits beside the latency.
        progress: Told while measuring.
    """
    predictions = {c.architecture: c.predicted_seconds for c in candidates}
    correction, safe_seconds = 1.0, limit_seconds / (1 + MARGIN)
    for _ in range(MOST_GROUPS):
        known.winner = _best(candidates, known, meets, safe_seconds, whole_interval=True)
        better = takewhile(lambda c: c.architecture != known.winner, candidates)
        pool = [c.corrected(correction) for c in better if c.architecture not in known.measured]
        chosen = choose_finalists(pool, safe_seconds, finalists)
        if not chosen and not known.measured:  # a window above the limit: try its lower end
            chosen = sorted(pool, key=lambda c: c.predicted_seconds)[:finalists]
        if not chosen or targets.is_spent:
            break
        group = [c.architecture for c in chosen]
        name = f"{campaign}-{len(known.campaigns) + 1}"
        measured = targets.measure(group, name, progress, limit_seconds=safe_seconds)
        known.campaigns.append(name)
        known.measured |= {architecture: measured.get(architecture) for architecture in group}
        seen = Verification({a: m for a, m in known.measured.items() if a in predictions})
        correction = max(1.0, seen.correction(predictions.__getitem__))
    known.winner = _best(candidates, known, meets, safe_seconds, whole_interval=True) or _best(
        candidates, known, meets, limit_seconds, whole_interval=False
    )
    return known


def _best(
    candidates: Sequence[Candidate],
    known: Verification,
    meets: Callable[[LatencyResult], bool],
    limit_seconds: float,
    *,
    whole_interval: bool,
) -> Architecture | None:
    """The best-scoring measured candidate that meets the limit."""
    for candidate in candidates:
        measurement = known.measured.get(candidate.architecture)
        if measurement is None:
            continue
        seconds = measurement.interval_seconds[1] if whole_interval else measurement.latency_seconds
        if seconds <= limit_seconds and meets(measurement):
            return candidate.architecture
    return None
