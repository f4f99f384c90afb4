"""Two models, or one under two settings: what was found out about their ratio.

iteration < block < pair < launch. A pair is a block of each, one right after the other, so that
what slows both cancels; a launch, with fresh workers, gives one logarithm of a ratio; what is said
about the ratio rests on launches alone, since all pairs of a launch share where its models lie in
memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from atb.devices import Device, RunSettings, Runtime
from atb.errors import InputError
from atb.profiler import Conditions, Subject
from atb.profiler.comparison.sequential import (
    CONFIDENCE,
    FEWEST_VALUES,
    FIRST_ANALYSIS,
    UNDECIDED,
    Interval,
    analysis_of,
    interval_at_analysis,
    verdict_of,
)
from atb.profiler.statistics import MOST_DISTURBED, BlockValue, Flag, FlagKind

#: Of the pairs of a launch, cut off at each end before their mean: bursts that hit one block.
_TRIMMED_SHARE = 0.25
#: Undisturbed pairs that a launch needs to count, as a share of all of it.
_FEWEST_PAIRS_SHARE = 1 / 4
_SEEDS = 2**63


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what is timed, and how.

    Attributes:
        subject: An architecture or a model file.
        runtime: With what.
        settings: How.
    """

    subject: Subject
    runtime: Runtime
    settings: RunSettings

    def conditions(self, device: Device) -> Conditions:
        """Everything that its latency depends on beside the subject."""
        return Conditions.of(device, self.runtime, self.settings)


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """How two sides are compared, and when that ends.

    Attributes:
        within: Two that differ by less than this share count as equal.
        budget_seconds: After which no launch is begun, once there are two.
        most_launches: After which none is begun either; None leaves it to the budget.
        until_verdict: Whether a verdict ends it too; a long-run ratio wants all launches.
        seed: Of the order of loading and of the blocks.
        pairs: Pairs of blocks in a launch, fewer where models are slow.
        fewest_pairs: How many remain however slow the models are.
        launch_seconds: What the blocks of a launch may last together.
        block_seconds: What a block is to last.
        fewest_iterations: Of a block, however long they last.

    Raises:
        InputError: A value is out of range.
    """

    within: float = 0.01
    budget_seconds: float = 60.0
    most_launches: int | None = None
    until_verdict: bool = True
    seed: int = 0
    pairs: int = 8
    fewest_pairs: int = 4
    launch_seconds: float = 0.8
    block_seconds: float = 0.05
    fewest_iterations: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.within < 1:
            raise InputError(f"The share that counts as equal is {self.within:.2%}: give 1% or so.")
        if not self.budget_seconds > 0:
            raise InputError(f"The budget is {self.budget_seconds} s: give a positive time.")
        if not 0 <= self.seed < _SEEDS:
            raise InputError(f"The seed is {self.seed}: give a whole number from 0 to 2^63 - 1.")
        if self.most_launches is not None and self.most_launches < FEWEST_VALUES:
            raise InputError(
                f"{self.most_launches} launches were asked for: give at least {FEWEST_VALUES}."
            )
        if min(self.pairs, self.fewest_pairs, self.fewest_iterations) < 1:
            raise InputError("A launch needs at least one pair of blocks and one iteration.")


@dataclass(frozen=True, slots=True)
class PairedLaunch:
    """The pairs of one launch.

    Attributes:
        started_at: Unix time on the device, in seconds.
        second_loaded_first: The order in which the sides were loaded.
        first: Values of the blocks of the first side.
        second: Those of the second side, each next to the one of the same index.
    """

    started_at: float
    second_loaded_first: bool
    first: tuple[BlockValue, ...]
    second: tuple[BlockValue, ...]

    @property
    def _undisturbed(self) -> list[tuple[float, float]]:
        return [
            (a.seconds, b.seconds)
            for a, b in zip(self.first, self.second, strict=True)
            if not (a.disturbed or b.disturbed)
        ]

    @property
    def disturbed_pairs(self) -> int:
        """Pairs with a block that was taken from disturbed iterations."""
        return len(self.first) - len(self._undisturbed)

    @property
    def log_ratio(self) -> float | None:
        """Log(second / first), a trimmed mean over undisturbed pairs; None of too few of them."""
        pairs = self._undisturbed
        if not pairs or len(pairs) < _FEWEST_PAIRS_SHARE * len(self.first):
            return None
        return _trimmed_mean([math.log(b / a) for a, b in pairs])

    def seconds(self) -> tuple[float, float]:
        """The latencies of both sides in this launch: medians of the undisturbed pairs."""
        pairs = self._undisturbed
        return float(np.median([a for a, _ in pairs])), float(np.median([b for _, b in pairs]))


def _trimmed_mean(values: Sequence[float]) -> float:
    """Mean without a quarter at each end; nearly as sharp as a mean, and deaf to few bursts."""
    ordered = sorted(values)
    cut = int(_TRIMMED_SHARE * len(ordered))
    return float(np.mean(ordered[cut : len(ordered) - cut]))


@dataclass(frozen=True)
class ComparisonResult:
    """Two sides and the launches in which they were timed.

    Attributes:
        sides: The first and the second.
        conditions: Of both.
        plan: How they were compared.
        launches: What was measured, in order.
        workers: Processes of a launch: one that holds both models, or one for each.
        ended_by: `verdict`, `budget`, `most-launches`; `interrupted` as long as it goes on.
        seconds: What it took on the device's clock.
    """

    sides: tuple[Side, Side]
    conditions: tuple[Conditions, Conditions]
    plan: ComparisonPlan
    launches: tuple[PairedLaunch, ...]
    workers: int
    ended_by: str
    seconds: float

    @cached_property
    def log_ratios(self) -> tuple[float, ...]:
        """One for each launch that counts."""
        found = [launch.log_ratio for launch in self.launches]
        return tuple(value for value in found if value is not None)

    @cached_property
    def interval(self) -> Interval | None:
        """Of the log ratio; None as long as fewer than two launches count."""
        values = self.log_ratios
        if len(values) < FEWEST_VALUES:
            return None
        return interval_at_analysis(values, analysis_of(len(values)))

    @property
    def verdict(self) -> str:
        """What the second is: `slower`, `faster`, `no difference` or `undecided`.

        Before the first look nothing is decided.
        """
        if self.interval is None or len(self.log_ratios) < FIRST_ANALYSIS:
            return UNDECIDED
        return verdict_of(self.interval, self.plan.within)

    @property
    def ratio(self) -> float | None:
        """Second over first; None where no launch counts."""
        return math.exp(np.mean(self.log_ratios)) if self.log_ratios else None

    @property
    def ratio_interval(self) -> tuple[float, float] | None:
        """Its interval; None as long as fewer than two launches count."""
        if self.interval is None:
            return None
        return math.exp(self.interval.low), math.exp(self.interval.high)

    @property
    def latency_seconds(self) -> tuple[float, float] | None:
        """Of both sides, geometric means over the launches that count."""
        logs = np.log(
            [launch.seconds() for launch in self.launches if launch.log_ratio is not None]
        )
        if not len(logs):
            return None
        first, second = np.exp(logs.mean(0))
        return float(first), float(second)

    @property
    def pairs(self) -> int:
        """Pairs of blocks that were timed."""
        return sum(len(launch.first) for launch in self.launches)

    @property
    def disturbed_pairs(self) -> int:
        """Pairs that were left out, since one of their blocks was disturbed."""
        return sum(launch.disturbed_pairs for launch in self.launches)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Why the result is to be distrusted."""
        emulators = dict.fromkeys(c.emulator for c in self.conditions if c.emulator is not None)
        found = [Flag(FlagKind.EMULATED, f"emulated by {emulator}") for emulator in emulators]
        if self.disturbed_pairs > MOST_DISTURBED * self.pairs:
            text = f"{self.disturbed_pairs} of {self.pairs} pairs of blocks preempted"
            found.append(Flag(FlagKind.PREEMPTED, text))
        left_out = len(self.launches) - len(self.log_ratios)
        if left_out > MOST_DISTURBED * len(self.launches):
            text = f"{left_out} of {len(self.launches)} launches left out as preempted"
            found.append(Flag(FlagKind.LAUNCHES_LEFT_OUT, text))
        return tuple(found)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The texts of its flags."""
        return tuple(flag.text for flag in self.flags)

    def to_json(self) -> dict[str, Any]:
        """As plain values, with the log ratio of every launch."""
        latencies = self.latency_seconds or (None, None)
        interval = self.ratio_interval
        first, second = (
            {
                "architecture": str(side.subject),
                "conditions": conditions.to_json(),
                "latency_seconds": seconds,
            }
            for side, conditions, seconds in zip(
                self.sides, self.conditions, latencies, strict=True
            )
        )
        return {
            "first": first,
            "second": second,
            "ratio": self.ratio,
            "interval_ratio": None if interval is None else list(interval),
            "confidence": CONFIDENCE,
            "verdict": self.verdict,
            "within": self.plan.within,
            "ended_by": self.ended_by,
            "launches": len(self.log_ratios),
            "launches_left_out": len(self.launches) - len(self.log_ratios),
            "workers": self.workers,
            "blocks": 2 * self.pairs,
            "disturbed_pairs": self.disturbed_pairs,
            "flagged": bool(self.reasons),
            "reasons": list(self.reasons),
            "seconds": self.seconds,
            "seed": self.plan.seed,
            "log_ratios": list(self.log_ratios),
        }
