"""A simulated processor: what an inference takes by formula, and a clock that it advances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from atb.devices import RunSettings
from atb.models import Architecture

if TYPE_CHECKING:  # the device is listed without it
    import numpy as np
    import numpy.typing as npt

#: Seconds to let pass before the next inference begins, at a moment of the simulated clock.
Pace = Callable[[float], float]

#: Logical CPUs of the simulated processor.
FAKE_CPUS = 4

_VOCABULARY = 1024  # of a simulated timing graph
_BYTES = {"fp32": 4, "int8": 1}  # of a weight; intermediate values are fp32
_PREEMPTION_SECONDS = 0.004  # mean time off the CPU, one slice of a usual scheduler


@dataclass(frozen=True, slots=True)
class FakeCosts:
    """What a simulated processor takes; two devices of different costs test transfer.

    Attributes:
        fixed_seconds: Seconds that each inference takes beside its layers.
        layer_seconds: Seconds that each layer takes beside its work.
        value_seconds: For each embedding value, tokens times hidden size.
        multiply_adds_per_second: Of one thread in fp32.
        int8_speedup: How many times faster multiply-adds are in int8.
        parallel_share: Share of the multiply-adds that threads divide among themselves.
        idle_seconds: After a pause of at least so long an inference begins cold.
        idle_factor: How many times longer such an inference takes.
        token_seconds: For each token that text is split into.
        watts: What the device draws all the time; None where nothing counts it.
    """

    fixed_seconds: float = 3e-4
    layer_seconds: float = 5e-5
    value_seconds: float = 2e-9
    multiply_adds_per_second: float = 4e10
    int8_speedup: float = 2.0
    parallel_share: float = 0.9
    idle_seconds: float = 0.005
    idle_factor: float = 1.5
    token_seconds: float = 1e-6
    watts: float | None = None

    def terms(self, architecture: Architecture, settings: RunSettings) -> dict[str, float]:
        """Seconds of one inference that follows another at once, by what they are spent on."""
        share = self.parallel_share
        rate = self.multiply_adds_per_second / ((1 - share) + share / settings.threads)
        if settings.precision == "int8":
            rate *= self.int8_speedup
        tokens = settings.batch * settings.sequence_length
        work = settings.batch * architecture.multiply_adds(settings.sequence_length)
        return {
            "fixed": self.fixed_seconds,
            "layers": architecture.layers * self.layer_seconds,
            "embeddings": tokens * architecture.hidden * self.value_seconds,
            "multiply-adds": work / rate,
        }

    def crowding(self, settings: RunSettings) -> float:
        """How many times longer a request takes because streams share the CPUs."""
        return max(1.0, settings.streams * settings.threads / FAKE_CPUS)

    def memory_bytes(self, architecture: Architecture, settings: RunSettings) -> int:
        """All weights, and one layer's intermediate values of all tokens."""
        tokens = settings.batch * settings.sequence_length
        weights = architecture.parameters(vocabulary_size=_VOCABULARY)
        values = tokens * (2 * architecture.hidden + architecture.feed_forward)
        return weights * _BYTES[settings.precision] + 4 * values


@dataclass(frozen=True, slots=True)
class Iterations:
    """Simulated iterations, each array in the order in which they began.

    Attributes:
        begin: When each began, in seconds on the simulated clock.
        wall: Seconds from begin to end.
        cpu: Seconds on a CPU.
        wait: Seconds that it was ready but waited for a CPU.
        preempted: How often it was preempted.
    """

    begin: npt.NDArray[np.float64]
    wall: npt.NDArray[np.float64]
    cpu: npt.NDArray[np.float64]
    wait: npt.NDArray[np.float64]
    preempted: npt.NDArray[np.int64]


class FakeProcessor:
    """Runs iterations of a known latency on a clock of its own; `FakeDevice` says of what kind."""

    def __init__(
        self,
        costs: FakeCosts | None,
        noise: float,
        preemption: float,
        slowdown: Callable[[float], float] | None,
        seed: int,
    ) -> None:
        self.costs = costs or FakeCosts()
        self.noise = noise
        self.preemption = preemption
        self.slowdown = slowdown or (lambda elapsed: 1.0)
        self.seed = seed
        self.elapsed = 0.0

    @cached_property
    def rng(self) -> np.random.Generator:
        """Where noise and preemption come from."""
        import numpy as np

        return np.random.default_rng(self.seed)

    def iterate(
        self,
        seconds: float,
        iterations: int,
        *,
        pace: Pace | None = None,
        streams: int = 1,
        crowding: float = 1.0,
        power: float = 1.0,
    ) -> Iterations:
        """Run iterations of this exact latency on the simulated clock.

        Args:
            seconds: Of one iteration by itself.
            iterations: How many, of each stream.
            pace: How much time passes before each of them; None for none.
            streams: How many begin at the same time; the slowest ends the round.
            crowding: How many times longer each takes since they share the CPUs.
            power: Of the slowdown that acts on them.
        """
        import numpy as np

        count = iterations * streams
        noisy = np.full(count, seconds)
        if self.noise:
            # a floor, since no computation takes a negative time
            noisy *= np.maximum(self.rng.normal(1.0, self.noise, count), 0.1)
        preempted = np.zeros(count, dtype=np.int64)
        waited = np.zeros(count)
        if self.preemption:
            preempted = (self.rng.random(count) < self.preemption).astype(np.int64)
            waited = preempted * self.rng.exponential(_PREEMPTION_SECONDS, count)
        begin, cpu, wait = [0.0] * count, noisy.tolist(), waited.tolist()
        for first in range(0, count, streams):
            pause = 0.0 if pace is None else pace(self.elapsed)
            self.elapsed += pause
            cold = pause >= self.costs.idle_seconds
            slower = self.slowdown(self.elapsed) ** power
            factor = slower * (self.costs.idle_factor if cold else 1.0)
            longest = 0.0
            for i in range(first, first + streams):
                begin[i] = self.elapsed
                cpu[i] *= factor
                wait[i] += (crowding - 1) * cpu[i]
                longest = max(longest, cpu[i] + wait[i])
            self.elapsed += longest
        wall = np.add(cpu, wait)
        return Iterations(np.array(begin), wall, np.array(cpu), np.array(wait), preempted)


def pace_of(settings: RunSettings) -> Pace | None:
    """The rules of the worker for a block that begins with its warm-up."""
    interval = settings.interval_seconds
    if interval is None:
        return None
    if settings.scenario == "single-shot":
        return lambda now: interval
    planned: list[float] = []

    def until_the_next_multiple(now: float) -> float:
        planned.append(planned[-1] + interval if planned else now)
        return max(0.0, planned[-1] - now)

    return until_the_next_multiple
