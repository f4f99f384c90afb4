"""Finalists are measured before anything is returned: what was predicted is only a promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf
from typing import Protocol

import numpy as np

from atb.devices import Device, RunSettings, Runtime
from atb.models import Architecture
from atb.profiler import Conditions
from atb.profiler.campaign import Plan, run_campaign
from atb.profiler.database import ProfileDatabase
from atb.profiler.statistics import Measurement
from atb.search.candidate import Candidate

__all__ = [
    "Budget",
    "Measured",
    "Measures",
    "Progress",
    "Verification",
    "Verifier",
    "choose_finalists",
    "verify",
]

#: Called with what is done, what there is to do, and a word on what is going on.
Progress = Callable[[int, int, str], None]

#: Groups of finalists that are measured before the search starts over with corrected predictions.
MOST_GROUPS = 4
#: Share by which two campaigns may differ although their intervals are narrower; a winner is to
#: meet the limit when it is measured on another day too.
MARGIN = 0.01


class Measured(Protocol):
    """What measuring a finalist has shown; a `Measurement`, or several as one."""

    @property
    def architecture(self) -> Architecture:
        """What was measured."""

    @property
    def latency_seconds(self) -> float:
        """What is held against the limit."""

    @property
    def interval_seconds(self) -> tuple[float, float]:
        """Its confidence interval."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is to be distrusted."""

    @property
    def campaign(self) -> str:
        """In which it was measured."""


class Measures(Protocol):
    """Measures finalists."""

    @property
    def conditions(self) -> Conditions:
        """Under which it measures."""

    @property
    def is_spent(self) -> bool:
        """Whether there is no time left: whoever is not measured stays so."""

    def measure(
        self,
        architectures: Sequence[Architecture],
        campaign: str,
        progress: Progress | None = None,
        *,
        limit_seconds: float | None = None,
    ) -> Mapping[Architecture, Measured]:
        """Measure in a campaign of this name, more exactly near a limit; who failed is left out."""


@dataclass
class Budget:
    """Time for measuring, of all campaigns of a search together.

    Attributes:
        left_seconds: What is left of it, by the clock of the device; None for no end.
    """

    left_seconds: float | None = None

    @property
    def is_spent(self) -> bool:
        """Whether there is none left."""
        return self.left_seconds is not None and self.left_seconds <= 0

    def spend(self, seconds: float) -> None:
        """Take some of it."""
        if self.left_seconds is not None:
            self.left_seconds -= seconds


@dataclass(frozen=True)
class Verifier:
    """Where and how finalists are measured.

    Attributes:
        device: Where.
        runtime: With what.
        settings: How.
        database: Where the measurements are kept, opened with `create=True`.
        within: Half width of the interval that is wanted, as a share of the latency.
        budget: Time after which no new block is begun; several verifiers may share one.
    """

    device: Device
    runtime: Runtime
    settings: RunSettings
    database: ProfileDatabase
    within: float = 0.02
    budget: Budget = field(default_factory=Budget)

    @property
    def conditions(self) -> Conditions:
        """Under which it measures."""
        return Conditions.of(self.device, self.runtime, self.settings)

    @property
    def is_spent(self) -> bool:
        """Whether its budget is."""
        return self.budget.is_spent

    def measure(
        self,
        architectures: Sequence[Architecture],
        campaign: str,
        progress: Progress | None = None,
        *,
        limit_seconds: float | None = None,
    ) -> dict[Architecture, Measurement]:
        """Measure in a campaign of this name, more exactly near a limit; the same call goes on.

        Returns:
            Measurements by architecture, without those that failed or for which no time was left.

        Raises:
            RunError: The device failed repeatedly, or the disk is full; what was measured stays.
        """
        if self.is_spent:
            return {}
        plan = Plan(
            tuple(architectures),
            name=campaign,
            within=self.within,
            limit_seconds=limit_seconds,
            budget_seconds=self.budget.left_seconds,
        )
        begun = self.device.now()
        result = run_campaign(
            self.device, self.runtime, self.settings, plan, self.database, progress=progress
        )
        self.budget.spend(inf if result.ended_by == "budget" else self.device.now() - begun)
        return {measurement.architecture: measurement for measurement in result.measurements}


@dataclass
class Verification:
    """What measuring finalists has shown so far.

    Attributes:
        measured: Measurements, None for finalists that failed.
        winner: The best-scoring one that meets the limit, if any.
        campaigns: Names of the campaigns.
    """

    measured: dict[Architecture, Measured | None] = field(default_factory=dict)
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
    """Choose whom to measure: the best, and the best of those that are predicted to be safe.

    Two of five places go to candidates whose whole predicted interval meets the limit, so that
    one group of finalists usually contains a winner even where the predictor is too hopeful.

    Args:
        candidates: Scored ones that were not measured, the best first.
        limit_seconds: The limit.
        count: How many to choose at most.
    """
    hopeful = [c for c in candidates if c.predicted_seconds <= limit_seconds]
    safe = [c for c in hopeful if c.predicted_upper_seconds <= limit_seconds]
    chosen = hopeful[: count - min(len(safe), 2 * count // 5)]
    chosen += [c for c in safe if c not in chosen][: count - len(chosen)]
    chosen += [c for c in hopeful if c not in chosen][: count - len(chosen)]
    return sorted(chosen, key=hopeful.index)


def verify(
    candidates: Sequence[Candidate],
    limit_seconds: float,
    verifier: Measures,
    *,
    campaign: str,
    finalists: int,
    known: Verification,
    meets: Callable[[Measured], bool] = lambda _: True,
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
        verifier: Measures.
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
        if not chosen or verifier.is_spent:
            break
        group = [c.architecture for c in chosen]
        name = f"{campaign}-{len(known.campaigns) + 1}"
        measured = verifier.measure(group, name, progress, limit_seconds=safe_seconds)
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
    meets: Callable[[Measured], bool],
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
