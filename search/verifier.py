"""Measures finalists on a device, within a budget of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from atb.devices import Device, RunSettings, Runtime
from atb.models import Architecture
from atb.profiler import Conditions
from atb.profiler.campaign import Plan, run_campaign
from atb.profiler.database import ProfileDatabase
from atb.profiler.statistics import Measurement

#: Called with the steps done, the steps in all, and a word on what is going on.
Progress = Callable[[int, int, str], None]


@dataclass
class Budget:
    """Time for measuring, of all campaigns of a search together.

    Attributes:
        left_seconds: Seconds that are left, by the clock of the device; None for no end.
    """

    left_seconds: float | None = None

    @property
    def is_spent(self) -> bool:
        """Whether no time is left."""
        return self.left_seconds is not None and self.left_seconds <= 0

    def spend(self, seconds: float) -> None:
        """Take some seconds of it."""
        if self.left_seconds is not None:
            self.left_seconds -= seconds


@dataclass(frozen=True)
class Verifier:
    """Measures finalists under one set of conditions.

    Attributes:
        device: The device that runs the models.
        runtime: The runtime that executes them there.
        settings: Precision, threads, batch size and sequence length.
        database: Keeps the measurements; opened with `create=True`.
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
        """Device, runtime and settings of its measurements."""
        return Conditions.of(self.device, self.runtime, self.settings)

    def measure(
        self,
        architectures: Sequence[Architecture],
        campaign: str,
        progress: Progress | None = None,
        *,
        limit_seconds: float | None = None,
    ) -> dict[Architecture, Measurement]:
        """Measure in a campaign of this name, more exactly near a limit; the same call resumes.

        Returns:
            Measurements by architecture, without those that failed or for which no time was left.

        Raises:
            RunError: The device failed repeatedly, or the disk is full; what was measured stays.
        """
        if self.budget.is_spent:
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
