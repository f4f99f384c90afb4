"""What a campaign found out about one architecture; statistics are properties of the raw blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from atb.models import Architecture
from atb.profiler import BlockRecord, Conditions, LoadRecord, Subject
from atb.profiler.statistics.energy import energy_of_inference
from atb.profiler.statistics.estimators import (
    CONFIDENCE,
    DEFAULT_ESTIMATOR,
    Estimate,
    Estimator,
    PooledVariance,
    wall_latency,
)
from atb.profiler.statistics.percentiles import percentile_bound
from atb.profiler.statistics.readings import coarse_step_seconds
from atb.profiler.statistics.scenarios import SustainedCurve, requests_per_second
from atb.profiler.statistics.sentinel import CacheContention, is_shifted

#: Fewer launches say nothing about how launches differ.
FEWEST_LAUNCHES = 3
#: Beyond it most blocks of a launch can be disturbed ones.
MOST_DISTURBED = 1 / 3
#: Beyond it the correction by the sentinel is not trusted.
MOST_SLOWDOWN = 0.05
#: Tails that are told where there are enough runs.
PERCENTILES = (90, 99)
#: Half width, as a share, where no precision was asked for.
WIDEST = 0.10
#: How far an interval may be wider than asked: the sentinel's level moves a little while a database
#: is young, and the intervals at which a stop rule was content move with it.
WIDTH_TOLERANCE = 0.05
#: Level at which a stop rule looks at intervals, so that those it stops at hold `CONFIDENCE`. Who
#: goes on until an interval is narrow stops more often at a lucky one; with a fixed width the
#: price is small (Chow and Robbins, 1965; Starr, 1966).
#: benchmarks/measuring/intervals.py counts it.
SEQUENTIAL_CONFIDENCE = 0.96


class FlagKind(Enum):
    """Why a number is to be distrusted; the value says what it means and what to do."""

    FEW_LAUNCHES = (
        "launches are missing, so that the interval does not show how launches differ: run the "
        "command again to complete the campaign"
    )
    PREEMPTED = (
        "most iterations waited for a CPU: end other programs, or give fewer --threads than CPUs"
    )
    COARSE_CLOCK = (
        "the device's clock has steps as long as a part of an iteration: measure larger models or "
        "a larger --batch"
    )
    EMULATED = "a program stood in for the processor: compare such latencies with each other only"
    OFF_LEVEL = (
        "the machine was faster or slower than usual, and the latency is corrected for it: measure "
        "again when it has cooled down or other programs have ended"
    )
    CACHE_CONTENTION = (
        "other tenants used the shared cache, and the latency is corrected for it: measure again "
        "when the machine is idle"
    )
    WIDE_INTERVAL = (
        "the interval is wider than wanted: run the command again with --within, or with a larger "
        "--budget"
    )
    LAUNCHES_LEFT_OUT = (
        "whole launches do not count, since too few of their pairs ran undisturbed: end other "
        "programs and compare again"
    )

    @property
    def advice(self) -> str:
        """What it means, and what to do."""
        return self.value


@dataclass(frozen=True, slots=True)
class Flag:
    """One reason to distrust one number.

    Attributes:
        kind: What it is.
        text: The same in a few words with its figures, such as `3 of 15 blocks preempted`.
    """

    kind: FlagKind
    text: str


def advice_of(flags: Iterable[Flag]) -> list[str]:
    """The advice on flags, once for each kind, in the order of `FlagKind`."""
    kinds = {flag.kind for flag in flags}
    return [kind.advice for kind in FlagKind if kind in kinds]


@dataclass(frozen=True)
class Measurement:
    """All blocks of one subject in one campaign.

    Attributes:
        subject: What was timed.
        conditions: Everything its latency depends on beside it.
        campaign: Name of the campaign.
        blocks: At least one, ordered by launch and block.
        sentinel_reference: The sentinel's undisturbed level under these conditions, in seconds.
        within: Precision that the campaign last asked for, as a share; None for none.
        sequential: Whether a stop rule looked at the interval again and again.
        slowdowns: By launch and block, how much slower than its level the machine was then.
        cache: How much other tenants slowed the shared cache meanwhile; None where it is not known.
        loads: What loading it showed, in each launch.
        pooled_variance: What the other subjects of the campaign tell about how launches differ.
        method: How the latency is estimated.
    """

    subject: Subject
    conditions: Conditions
    campaign: str
    blocks: tuple[BlockRecord, ...]
    sentinel_reference: float | None = None
    within: float | None = None
    sequential: bool = False
    slowdowns: Mapping[tuple[int, int], float] = field(default_factory=dict)
    cache: CacheContention | None = None
    loads: tuple[LoadRecord, ...] = ()
    pooled_variance: PooledVariance | None = None
    method: Estimator = DEFAULT_ESTIMATOR

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError(f"A measurement of {self.subject} needs at least one block.")

    @property
    def architecture(self) -> Architecture:
        """What was timed, where that is an architecture.

        Raises:
            TypeError: It is a user's own model.
        """
        if not isinstance(self.subject, Architecture):
            raise TypeError(f"{self.subject} is a model file, which has no architecture.")
        return self.subject

    @property
    def scenario(self) -> str:
        """How inferences followed each other."""
        return self.conditions.settings.scenario

    @property
    def requests_per_second(self) -> float | None:
        """What came out of all streams together; None but in the scenario `throughput`."""
        return requests_per_second(self.blocks) if self.scenario == "throughput" else None

    @property
    def curve(self) -> SustainedCurve | None:
        """Latency over time; None but in the scenario `sustained`."""
        return SustainedCurve.of(self.blocks) if self.scenario == "sustained" else None

    @property
    def _threads(self) -> int:
        return self.conditions.settings.threads

    @cached_property
    def kept(self) -> tuple[BlockRecord, ...]:
        """The blocks that count: those that the sentinel corrects well, where there are enough.

        Else all of them, and the measurement is flagged.
        """
        near = tuple(r for r in self.blocks if abs(self._slowdown(r) - 1) <= MOST_SLOWDOWN)
        enough = len({record.launch for record in near}) >= FEWEST_LAUNCHES
        return near if enough and self.scenario != "sustained" else self.blocks

    def _slowdown(self, record: BlockRecord) -> float:
        return self.slowdowns.get((record.launch, record.block), 1.0)

    @cached_property
    def slowdown(self) -> float:
        """How much slower than its level the machine was while what counts was timed."""
        return median(self._slowdown(record) for record in self.kept)

    @cached_property
    def pressure(self) -> float:
        """How much slower the model was for other tenants of the shared cache, as a share."""
        if self.cache is None:
            return 0.0
        return math.expm1(median(self.cache.of(record) for record in self.kept))

    @cached_property
    def estimate(self) -> Estimate:
        """Latency and interval by `method`."""
        return self.method.estimate(
            self.kept,
            threads=self._threads,
            reference=self.sentinel_reference,
            confidence=SEQUENTIAL_CONFIDENCE if self.sequential else CONFIDENCE,
            pooled_variance=self.pooled_variance,
            cache=self.cache,
        )

    @property
    def launch_values(self) -> npt.NDArray[np.float64]:
        """Logarithm of the latency that each launch shows, float64 [launches]."""
        return self.method.launch_values(
            self.kept,
            threads=self._threads,
            reference=self.sentinel_reference,
            cache=self.cache,
        )

    @property
    def latency_seconds(self) -> float:
        """Latency of one inference on the undisturbed device."""
        return self.estimate.seconds

    @property
    def interval_seconds(self) -> tuple[float, float]:
        """Its confidence interval."""
        return self.estimate.low, self.estimate.high

    @property
    def estimator(self) -> str:
        """Name of the estimator."""
        return self.method.name

    @cached_property
    def wall_seconds(self) -> float:
        """Latency that was seen under the load there was."""
        return wall_latency(self.blocks)

    @cached_property
    def percentiles(self) -> Mapping[str, float]:
        """Bounds on the tails of the wall times under the load there was, in seconds.

        Those that can be told; see profiler/statistics/percentiles.py.
        """
        launches: dict[int, list[float]] = {}
        for record in self.blocks:
            launches.setdefault(record.launch, []).extend(record.readings.wall_seconds)
        runs = list(launches.values())
        tails = {f"p{percentile}": percentile_bound(runs, percentile) for percentile in PERCENTILES}
        return {name: seconds for name, seconds in tails.items() if seconds is not None}

    @property
    def load_seconds(self) -> float | None:
        """Time to make it ready, first inference not included; median of the launches."""
        found = [load.loaded.load_seconds for load in self.loads]
        return median(found) if found else None

    @property
    def memory_bytes(self) -> int | None:
        """By how much the worker grew at its largest for it; the most of all launches."""
        found = [load.loaded.memory_bytes for load in self.loads]
        return max((grown for grown in found if grown is not None), default=None)

    @property
    def artefact_bytes(self) -> int | None:
        """Size of the file that was run."""
        return self.loads[-1].artefact_bytes if self.loads else None

    @cached_property
    def energy_joules(self) -> float | None:
        """What one inference used; None where it is not known. See energy.py."""
        return energy_of_inference(self.blocks)

    @property
    def launches(self) -> int:
        """Fresh processes in which it was timed."""
        return len({record.launch for record in self.blocks})

    @property
    def flagged(self) -> bool:
        """Whether there is a reason to distrust the number."""
        return bool(self.flags)

    @property
    def usable(self) -> bool:
        """Whether its interval is to be believed; one that was corrected much has a wide one."""
        return not self._unsound

    @cached_property
    def _unsound(self) -> tuple[Flag, ...]:
        """Why not even its interval is to be believed."""
        found = []
        sustained = self.scenario == "sustained"  # one launch, and slowing down is what it shows
        if self.launches < FEWEST_LAUNCHES and not sustained:
            text = f"{self.launches} of {FEWEST_LAUNCHES} launches measured"
            found.append(Flag(FlagKind.FEW_LAUNCHES, text))
        disturbed, count = self.method.disturbed_share(self.blocks, threads=self._threads)
        if disturbed > MOST_DISTURBED * count:
            found.append(Flag(FlagKind.PREEMPTED, f"{disturbed} of {count} blocks preempted"))
        if (step := coarse_step_seconds(self.blocks)) is not None:
            text = f"steps of {1e3 * step:.3g} ms of the device's clock show in the readings"
            found.append(Flag(FlagKind.COARSE_CLOCK, text))
        return tuple(found)

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """Why it is to be distrusted."""
        found = [*self._unsound]
        if self.conditions.emulator is not None:
            found.append(Flag(FlagKind.EMULATED, f"emulated by {self.conditions.emulator}"))
        sustained = self.scenario == "sustained"
        if abs(self.slowdown - 1) > MOST_SLOWDOWN and not sustained:
            text = f"machine {self.slowdown - 1:+.0%} off its level"
            found.append(Flag(FlagKind.OFF_LEVEL, text))
        if abs(self.pressure) > MOST_SLOWDOWN:
            text = f"{self.pressure:+.0%} by other tenants of the shared cache"
            found.append(Flag(FlagKind.CACHE_CONTENTION, text))
        width = self.estimate.relative_half_width
        widest = WIDEST if self.within is None else self.within * (1 + WIDTH_TOLERANCE)
        if width > widest:
            asked = "" if self.within is None else f", wider than the {self.within:.2%} asked for"
            found.append(Flag(FlagKind.WIDE_INTERVAL, f"interval ±{width:.1%}{asked}"))
        return tuple(found)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The texts of its flags."""
        return tuple(flag.text for flag in self.flags)

    def to_json(self) -> dict[str, Any]:
        """As plain values; the blocks stay in the database."""
        disturbed, count = self.method.disturbed_share(self.blocks, threads=self._threads)
        document: dict[str, Any] = {
            "architecture": str(self.subject),
            "conditions": self.conditions.to_json(),
            "latency_seconds": self.latency_seconds,
            "interval_seconds": list(self.interval_seconds),
            "estimator": self.estimator,
            "flagged": self.flagged,
            "reasons": list(self.reasons),
            "campaign": self.campaign,
            "wall_seconds": self.wall_seconds,
            "confidence": CONFIDENCE,
            "launches": self.launches,
            "blocks": count,
            "disturbed_blocks": disturbed,
            "shifted_blocks": sum(is_shifted(slowdown) for slowdown in self.slowdowns.values()),
            "slowdown": self.slowdown,
            "cache_pressure": self.pressure,
        }
        details = {
            "load_seconds": self.load_seconds,
            "memory_bytes": self.memory_bytes,
            "artefact_bytes": self.artefact_bytes,
            "energy_joules": self.energy_joules,
        }
        document |= {name: value for name, value in details.items() if value is not None}
        if self.percentiles:
            document["wall_percentiles_seconds"] = dict(self.percentiles)
        if self.requests_per_second is not None:
            document["requests_per_second"] = self.requests_per_second
        if self.curve is not None:
            document["curve"] = asdict(self.curve)
            document["sustained_over_first"] = self.curve.sustained_over_first
        return document
