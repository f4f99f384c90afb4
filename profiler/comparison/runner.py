"""Runs a comparison: launches of fresh workers in which the blocks of two sides alternate."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np

from atb.devices import Artefact, Device, LaunchFailure, WorkerSession
from atb.errors import RunError
from atb.profiler.campaign import ArtefactStore
from atb.profiler.comparison.comparison import ComparisonPlan, ComparisonResult, PairedLaunch, Side
from atb.profiler.comparison.sequential import FEWEST_VALUES, UNDECIDED, interim_analyses
from atb.profiler.statistics import BlockValue, block_value, waits_for_itself

#: Receives the comparison so far, after every launch.
Watcher = Callable[[ComparisonResult], None]

_NAMES = ("first", "second")
_SETTLING_ITERATIONS = 3  # after loading: settles caches and allocations, and shows the latency
_WARMUP_ITERATIONS = 1  # before each block: the other model had the caches
_MOST_ITERATIONS = 10_000
_OPENING = "interrupted"  # what a comparison is ended by as long as nothing else has


#: A side that is loaded: times one block of it.
_Ready = Callable[[], BlockValue]


class ComparisonRunner:
    """A comparison that goes on; what is known of it can be asked for at any time.

    Sides of the same runtime and settings share a worker, since what a process has of its own
    then cancels; others have one each, and the one that is not timed sleeps. (The same model twice,
    18 pairs in each of 30 launches on two shared cores: log ratios of launches spread by 0.46 and
    0.37 % in one worker, of two models, and by 0.56 and 0.39 % across two. Both spreads are what
    that many pairs leave; where a model lies and which was loaded first added nothing.)

    Args:
        device: Where.
        first: One side.
        second: The other side.
        plan: How, and when it ends.
    """

    def __init__(self, device: Device, first: Side, second: Side, plan: ComparisonPlan) -> None:
        self._device = device
        self._sides = (first, second)
        self._plan = plan
        self._conditions = (first.conditions(device), second.conditions(device))
        self._shared = self._conditions[0] == self._conditions[1]
        self._rng = np.random.default_rng(plan.seed)
        self._iterations: dict[int, int] = {}
        self._tokens: int | None = None
        self._pairs = plan.pairs
        self._launches: list[PairedLaunch] = []
        self._began = device.now()
        self._ended_by = _OPENING

    def result(self) -> ComparisonResult:
        """What is known now."""
        return ComparisonResult(
            self._sides,
            self._conditions,
            self._plan,
            tuple(self._launches),
            1 if self._shared else 2,
            self._ended_by,
            self._device.now() - self._began,
        )

    def run(self, watcher: Watcher | None = None) -> ComparisonResult:
        """Launch until there is a verdict, the time is over or the launches are spent.

        Args:
            watcher: Told after every launch.

        Raises:
            RunError: One of the sides could not be built, loaded or run.
        """
        with contextlib.ExitStack() as stack:
            stores = self._stores(stack)
            planned = interim_analyses()
            look = next(planned)
            while True:
                self._launches.append(self._launch(stores))
                found = self.result()
                if watcher is not None:
                    watcher(found)
                is_look = len(found.log_ratios) >= look
                if is_look:
                    look = next(planned)
                if self._over(found, is_look=is_look):
                    break
        return self.result()

    def _over(self, found: ComparisonResult, *, is_look: bool) -> bool:
        made = len(found.launches)
        if is_look and self._plan.until_verdict and found.verdict != UNDECIDED:
            self._ended_by = "verdict"
        elif made == self._plan.most_launches:
            self._ended_by = "most-launches"
        elif made >= FEWEST_VALUES and found.seconds >= self._plan.budget_seconds:
            self._ended_by = "budget"
        return self._ended_by != _OPENING

    def _stores(self, stack: contextlib.ExitStack) -> tuple[ArtefactStore, ArtefactStore]:
        first, second = self._sides
        one = stack.enter_context(ArtefactStore(first.runtime, first.settings))
        if self._shared:
            return one, one
        return one, stack.enter_context(ArtefactStore(second.runtime, second.settings))

    def _launch(self, stores: tuple[ArtefactStore, ArtefactStore]) -> PairedLaunch:
        """One launch: load in random order, then pairs of blocks."""
        started_at = self._device.now()
        reverse = bool(self._rng.integers(2))
        workers: dict[int, WorkerSession] = {}
        ready: dict[int, _Ready] = {}
        tokens: dict[int, int | None] = {}
        with contextlib.ExitStack() as stack:
            shared: WorkerSession | None = None
            for index in (1, 0) if reverse else (0, 1):
                with self._name_side(index):
                    artefact = stores[index].get(self._sides[index].subject)
                    workers[index] = shared or self._enter(stack, index)
                    shared = workers[index] if self._shared else None
                    tokens[index] = self._load(workers[index], index, artefact)
                    ready[index] = self._settle(workers[index], index)
            known = [count for count in tokens.values() if count is not None]
            self._tokens = min(known, default=None)
            for index, count in tokens.items():
                if count is not None and count != self._tokens:  # in the first launch at most
                    with self._name_side(index):
                        artefact = stores[index].get(self._sides[index].subject)
                        self._load(workers[index], index, artefact)
                        ready[index] = self._settle(workers[index], index)
            values = self._run_pairs(ready)
        return PairedLaunch(started_at, reverse, *values)

    def _load(self, worker: WorkerSession, index: int, artefact: Artefact) -> int | None:
        """Load a side; how many token ids it is fed, of which both get the same."""
        name = _NAMES[index]
        if self._tokens is None:
            loaded = worker.load(name, artefact)
        else:
            loaded = worker.load(name, artefact, vocabulary_size=self._tokens)
        if not math.isfinite(loaded.output_checksum):
            raise LaunchFailure("wrong-output", "the output is not finite")
        return loaded.vocabulary_size

    def _enter(self, stack: contextlib.ExitStack, index: int) -> WorkerSession:
        side = self._sides[index]
        return stack.enter_context(self._device.launch(side.runtime, side.settings))

    def _settle(self, worker: WorkerSession, index: int) -> _Ready:
        """Run a loaded side a little; in the first launch that also sizes its blocks."""
        plan, name = self._plan, _NAMES[index]
        probe = worker.run(name, iterations=_SETTLING_ITERATIONS, warmup=_WARMUP_ITERATIONS)
        if index not in self._iterations:
            seconds = min(probe.wall_seconds)
            count = max(math.ceil(plan.block_seconds / seconds), plan.fewest_iterations)
            self._iterations[index] = min(count, _MOST_ITERATIONS)
            # as if the other side were as slow: what is certain is that none takes longer
            pair_seconds = 2 * seconds * (count + _WARMUP_ITERATIONS)
            affordable = max(plan.fewest_pairs, int(plan.launch_seconds / pair_seconds))
            self._pairs = min(self._pairs, affordable)
        threads = self._sides[index].settings.threads
        waits_count = waits_for_itself(self._conditions[index], [self._device.state()])

        def time_block() -> BlockValue:
            block = worker.run(name, iterations=self._iterations[index], warmup=_WARMUP_ITERATIONS)
            return block_value(block, threads=threads, waits_count=waits_count)

        return time_block

    def _run_pairs(
        self, ready: dict[int, _Ready]
    ) -> tuple[tuple[BlockValue, ...], tuple[BlockValue, ...]]:
        values: tuple[list[BlockValue], list[BlockValue]] = ([], [])
        for order in self._orders():
            for index in order:
                with self._name_side(index):
                    values[index].append(ready[index]())
        return tuple(values[0]), tuple(values[1])

    def _orders(self) -> Iterator[tuple[int, int]]:
        """Who comes first in each pair: at random, and the other way round in the pair after.

        A steady drift then cancels over two pairs; an odd number of them is rounded up.
        """
        for lead in self._rng.integers(2, size=math.ceil(self._pairs / 2)).tolist():
            yield lead, 1 - lead
            yield 1 - lead, lead

    @contextlib.contextmanager
    def _name_side(self, index: int) -> Iterator[None]:
        """Say which side failed."""
        try:
            yield
        except LaunchFailure as failure:
            raise RunError(
                f"The {_NAMES[index]}, {self._sides[index].subject} on "
                f"{self._conditions[index]}, failed ({failure}): time it alone with `atb profile` "
                "to see more."
            ) from failure


def compare(
    device: Device,
    first: Side,
    second: Side,
    plan: ComparisonPlan | None = None,
    *,
    watcher: Watcher | None = None,
) -> ComparisonResult:
    """Compare two sides until there is a verdict or the budget is spent; see `ComparisonRunner`."""
    return ComparisonRunner(device, first, second, plan or ComparisonPlan()).run(watcher)
