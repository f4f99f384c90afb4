"""Times groups of subjects in fresh workers, and finds out who is to blame for a failure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from atb.devices.contract import Artefact, Block, Device, Launch, LaunchFailure, Runtime
from atb.devices.settings import RunSettings
from atb.errors import RunError
from atb.profiler.artefacts import ArtefactStore
from atb.profiler.journal import Journal
from atb.profiler.plan import Plan
from atb.profiler.record import BlockRecord
from atb.profiler.subject import Subject

__all__ = ["BudgetSpent", "Launcher", "Progress"]

#: Receives blocks done, blocks wanted, and what is going on.
Progress = Callable[[int, int, str], None]

_SENTINEL = "sentinel"
_PROBE_ITERATIONS = 3  # after loading: settles caches and allocations, and shows the latency
_WARMUP_ITERATIONS = 1  # before each block: the model before it had the caches
_FEWEST_SENTINEL_ITERATIONS = 5
_MOST_ITERATIONS = 10_000
_DEVICE_FAILURES = 3  # in a row, with nothing measured in between
_FIRST_WAIT_SECONDS = 1.0  # before a device that failed is tried again; doubled each time


class BudgetSpent(Exception):
    """The campaign's time is over."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A loaded model: the hash of its file, and the iterations of its blocks."""

    artefact_sha256: str
    iterations: int


class Launcher:
    """Runs the blocks of a plan on a device and journals each of them.

    Args:
        device: Where.
        runtime: With what.
        settings: How.
        plan: Iterations, order and sentinel.
        artefacts: Where built models lie.
        journal: What has been measured.
        progress: Told after every block.
    """

    def __init__(
        self,
        device: Device,
        runtime: Runtime,
        settings: RunSettings,
        plan: Plan,
        *,
        artefacts: ArtefactStore,
        journal: Journal,
        progress: Progress | None,
    ) -> None:
        self._device = device
        self._runtime = runtime
        self._settings = settings
        self._plan = plan
        self._artefacts = artefacts
        self._journal = journal
        self._progress = progress
        self._done = journal.count(plan.subjects)
        self._wanted = 0
        self._device_failures = 0
        self._subject: Subject | None = None  # who is to blame if it fails now
        budget = plan.budget_seconds
        self._deadline = math.inf if budget is None else device.now() + budget

    def measure(self, subjects: Sequence[Subject], launches: Sequence[int]) -> None:
        """Time what is missing of these launches of these subjects.

        Those that fail are timed once more, alone; the second failure is final.

        Raises:
            BudgetSpent: The time is over.
            RunError: The device failed repeatedly with nothing measured in between.
        """
        healthy = [a for a in subjects if not self._journal.quarantined(a)]
        there = sum(
            self._journal.has(subject, launch, block)
            for subject in healthy
            for launch in launches
            for block in range(self._plan.blocks)
        )
        expected = len(healthy) * len(launches) * self._plan.blocks
        self._wanted = max(self._wanted, self._done + expected - there)
        for batch in self._plan.batches(healthy):
            for launch in launches:
                for group in self._plan.groups(batch, launch):
                    order = self._plan.order(group, launch)
                    for suspect in self._measure_group(order, launch):
                        self._measure_group([item for item in order if item[0] == suspect], launch)
            for subject in batch:
                self._artefacts.drop(subject)

    def _measure_group(self, order: Sequence[tuple[Subject, int]], launch: int) -> list[Subject]:
        """Time the missing blocks; who fails is recorded, left out, and returned for a retry."""
        suspects: list[Subject] = []
        while True:
            missing = [
                (subject, block)
                for subject, block in order
                if subject not in suspects
                and not self._journal.quarantined(subject)
                and not self._journal.has(subject, launch, block)
            ]
            if not missing:
                return [a for a in suspects if not self._journal.quarantined(a)]
            try:
                self._run_worker(missing, launch)
            except LaunchFailure as failure:
                self._journal.fail(self._subject, failure, self._device.now())
                if self._subject is None:
                    self._bear(failure)
                else:
                    suspects.append(self._subject)

    def _bear(self, failure: LaunchFailure) -> None:
        """Give a device that failed some time, or give up."""
        self._device_failures += 1
        if self._device_failures >= _DEVICE_FAILURES:
            raise RunError(
                f"{self._device.name} failed {self._device_failures} times in a row with nothing "
                f"measured in between ({failure}): look at it with `atb devices check`, then run "
                "the command again to go on."
            ) from failure
        self._device.wait(_FIRST_WAIT_SECONDS * 2 ** (self._device_failures - 1))

    def _run_worker(self, missing: Sequence[tuple[Subject, int]], launch: int) -> None:
        """One fresh worker: load everything, then one block after the other."""
        artefacts: dict[Subject, Artefact] = {}
        for subject, _ in missing:
            if subject not in artefacts:
                self._on(subject, "building")
                artefacts[subject] = self._artefacts.get(subject)
        self._on(None, "starting a worker")
        sentinel = self._artefacts.get(self._plan.sentinel)
        with self._device.launch(self._runtime, self._settings) as worker:
            ready = {_SENTINEL: self._load_sentinel(worker, sentinel)}
            self._device_failures = 0
            for subject, artefact in artefacts.items():
                self._on(subject, "loading")
                ready[str(subject)] = self._load(
                    worker,
                    str(subject),
                    artefact,
                    known=self._journal.iterations(subject),
                    seconds=self._plan.block_seconds,
                    fewest=self._plan.fewest_iterations,
                )
            self._run_blocks(worker, missing, launch, ready)

    def _load_sentinel(self, worker: Launch, artefact: Artefact) -> _Ready:
        return self._load(
            worker,
            _SENTINEL,
            artefact,
            known=self._journal.sentinel_iterations(),
            seconds=self._plan.sentinel_block_seconds,
            fewest=_FEWEST_SENTINEL_ITERATIONS,
        )

    def _load(
        self,
        worker: Launch,
        key: str,
        artefact: Artefact,
        *,
        known: int | None,
        seconds: float,
        fewest: int,
    ) -> _Ready:
        """Load an artefact, settle it, and find out how many iterations its blocks shall have."""
        loaded = worker.load(key, artefact)
        if not math.isfinite(loaded.output_checksum):
            raise LaunchFailure("wrong-output", f"the output of {key} is not finite")
        probe = worker.run(key, iterations=_PROBE_ITERATIONS, warmup=_WARMUP_ITERATIONS)
        wanted = min(max(math.ceil(seconds / min(probe.wall_seconds)), fewest), _MOST_ITERATIONS)
        return _Ready(artefact.sha256, known or wanted)

    def _run_blocks(
        self,
        worker: Launch,
        missing: Sequence[tuple[Subject, int]],
        launch: int,
        ready: Mapping[str, _Ready],
    ) -> None:
        """Time blocks, the sentinel before and after each, and commit every one at once."""

        def time_block(key: str) -> Block:
            count = ready[key].iterations
            return worker.run(key, iterations=count, warmup=_WARMUP_ITERATIONS)

        self._on(None, "first sentinel")
        before = time_block(_SENTINEL)
        for subject, block in missing:
            self._on(subject, f"launch {launch + 1}")
            state = self._device.state()
            readings = time_block(str(subject))
            self._subject = None
            after = time_block(_SENTINEL)
            self._journal.commit(
                BlockRecord(
                    subject,
                    launch,
                    block,
                    readings,
                    sentinel_before=before,
                    sentinel_after=after,
                    artefact_sha256=ready[str(subject)].artefact_sha256,
                    state=state,
                )
            )
            self._done += 1
            before = after

    def _on(self, subject: Subject | None, what: str) -> None:
        """Begin a step, if there is time for it; its subject is to blame for its failure."""
        self._subject = subject
        if self._device.now() >= self._deadline:
            raise BudgetSpent
        if self._progress is not None:
            text = what if subject is None else f"{subject}: {what}"
            self._progress(self._done, self._wanted, text)
