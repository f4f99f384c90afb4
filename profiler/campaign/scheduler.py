"""Times groups of subjects in fresh workers, and finds out who is to blame for a failure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from atb.devices import Artefact, Device, LaunchFailure, RunSettings, Runtime
from atb.errors import RunError
from atb.profiler import Subject
from atb.profiler.campaign.artefacts import ArtefactStore
from atb.profiler.campaign.journal import Journal
from atb.profiler.campaign.plan import Plan
from atb.profiler.campaign.session import SessionRunner, WaitBudget
from atb.profiler.campaign.worker_capacity import WorkerCapacity
from atb.profiler.statistics import CACHE_SENTINEL, MOST_SLOWDOWN, DriftWatch, shares_workers

__all__ = ["BudgetSpent", "Progress", "Scheduler"]

#: Receives blocks done, blocks wanted (0 where measuring decides it), and what is going on.
Progress = Callable[[int, int, str], None]

_DEVICE_FAILURES = 3  # in a row, with nothing measured in between
_FIRST_WAIT_SECONDS = 1.0  # before a device that failed is tried again; doubled each time


#: Subjects with the numbers of their blocks, in the order in which they are timed.
_Order = Sequence[tuple[Subject, int]]


class BudgetSpent(Exception):
    """The campaign's time is over."""


class Scheduler:
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
        self._scenario = settings.scenario
        self._plan = plan
        self._artefacts = artefacts
        self._journal = journal
        self._progress = progress
        self._done = journal.count(plan.subjects)
        self._wanted: int | None = None
        self._device_failures = 0
        self._absences: Counter[Subject] = Counter()  # of the device, since each was measured
        self._subject: Subject | None = None  # who is to blame if it fails now
        self._holds: Callable[[Subject], bool] = lambda _: (
            False
        )  # the worker that runs, or ran last
        self._unexplained = 0  # failures in company of models that were well alone
        self._capacity = WorkerCapacity(settings, journal.memory_bytes)
        self._watch = DriftWatch(journal.level, band=MOST_SLOWDOWN)
        self._wait_budget = WaitBudget(plan.patience_seconds)
        budget = plan.budget_seconds
        self._deadline = math.inf if budget is None else device.now() + budget

    def measure(
        self, blocks: Mapping[Subject, int], launches: Sequence[int], *, in_order: bool = False
    ) -> None:
        """Time what is missing of these launches of these subjects.

        What fails beside others is timed once more alone, where its second failure is final.

        Args:
            blocks: How many blocks of whom in each launch.
            launches: Indices of the launches.
            in_order: Whether those that come first are timed first.

        Raises:
            BudgetSpent: The time is over.
            RunError: The device failed repeatedly with nothing measured in between.
        """
        healthy = [subject for subject in blocks if not self._journal.quarantined(subject)]
        self._expect(
            not self._journal.has(subject, launch, block)
            for subject in healthy
            for launch in launches
            for block in range(blocks[subject])
        )
        self._capacity.tell_available(self._available_bytes())
        alone = not shares_workers(self._scenario)
        for batch in self._plan.batches(healthy):
            for launch in launches:
                for group in self._plan.groups(batch, launch, in_order=in_order, alone=alone):
                    for part in self._capacity.parts(group, len(group)):
                        self._measure_part(self._plan.order(part, launch, blocks), launch)
            for subject in batch:
                self._artefacts.drop(subject)

    def _expect(self, missing: Iterable[bool]) -> None:
        """Take what is planned as the end that progress goes to, where more is not asked for yet.

        Where the stop rule decides, or launches have to be replaced, nobody knows the end.
        """
        planned = self._wanted is None and self._plan.within is None
        self._wanted = self._done + sum(missing) if planned else 0

    def _available_bytes(self) -> float | None:
        """What the device says of its memory; one that is away says nothing."""
        try:
            told: float | None = self._device.state().get("memory_available_bytes")
        except LaunchFailure:
            return None
        return told

    def _measure_part(self, order: _Order, launch: int) -> None:
        """Time the missing blocks in a worker, and whatever it takes where that fails."""
        while missing := self._missing(order, launch):
            try:
                # a process starts but once
                self._run_worker(missing[:1] if self._scenario == "cold-start" else missing, launch)
            except LaunchFailure as failure:
                subject, company = self._attribute(failure), {subject for subject, _ in missing}
                if subject is None or len(company) == 1 or failure.cause == "build-error":
                    self._journal.fail(subject, failure, self._device.now())
                    if subject is None:
                        self._back_off(failure)
                else:
                    self._measure_apart(missing, subject, failure, launch)

    def _missing(self, order: _Order, launch: int) -> _Order:
        return [
            (subject, block)
            for subject, block in order
            if not self._journal.quarantined(subject)
            and not self._journal.has(subject, launch, block)
        ]

    def _measure_apart(
        self, order: _Order, suspect: Subject, failure: LaunchFailure, launch: int
    ) -> None:
        """Time what failed in company: alone first, which says whose fault it was.

        One that is well alone is not to blame: its company took too much, and is cut.
        """
        company = list(dict.fromkeys(subject for subject, _ in order))
        held = [subject for subject in company if self._holds(subject)]
        self._journal.fail_beside_others(suspect, failure, self._device.now())
        self._measure_part([item for item in order if item[0] == suspect], launch)
        rest = [subject for subject in company if subject != suspect]
        most_members = len(rest)
        if not self._journal.quarantined(suspect):
            most_members = math.ceil(len(rest) / 2)
            self._unexplained += 1
            # a crash may be an accident once; that it is again has a reason, such as no memory
            if failure.cause == "out-of-memory" or self._unexplained > 1:
                self._capacity.tell_short(company, held)
        for part in self._capacity.parts(rest, most_members):
            self._measure_part([item for item in order if item[0] in part], launch)

    def _attribute(self, failure: LaunchFailure) -> Subject | None:
        """Whose failure it is: of a device that goes its own, unless it goes again and again then.

        A connection is cut by chance, at whatever is going on; but what brings the machine down
        whenever it is loaded or timed is left out in the end.
        """
        subject = self._subject
        if subject is None or failure.cause != "device-gone":
            return subject
        self._absences[subject] += 1
        return subject if self._absences[subject] >= _DEVICE_FAILURES else None

    def _back_off(self, failure: LaunchFailure) -> None:
        """Give a device that failed some time, or give up."""
        self._device_failures += 1
        if self._device_failures >= _DEVICE_FAILURES:
            raise RunError(
                f"{self._device.name} failed {self._device_failures} times in a row with nothing "
                f"measured in between ({failure}): look at it with `atb devices check`, then run "
                "the command again to go on."
            ) from failure
        self._device.wait(_FIRST_WAIT_SECONDS * 2 ** (self._device_failures - 1))

    def _run_worker(self, missing: _Order, launch: int) -> None:
        """One fresh worker: load everything, then one block after the other."""
        artefacts: dict[Subject, Artefact] = {}
        self._holds = lambda _: False
        for subject, _ in missing:
            if subject not in artefacts:
                self._on(subject, "building")
                artefacts[subject] = self._artefacts.get(subject)
        self._on(None, "starting a worker")
        sentinel = self._artefacts.get(self._plan.sentinel)
        corrected = self._scenario == "hot-loop"  # the others ask for what there is
        cache_sentinel = self._artefacts.get(CACHE_SENTINEL) if corrected else None
        with self._device.launch(self._runtime, self._settings) as worker:
            run = SessionRunner(
                worker,
                self._device,
                self._plan,
                self._journal,
                settings=self._settings,
                watch=self._watch,
                wait_budget=self._wait_budget,
                say=self._on,
                clear_suspect=self._clear_suspect,
            )
            self._holds = run.holds
            run.load(artefacts, sentinel, cache_sentinel, launch)
            self._device_failures = 0
            run.time(missing, launch, done=self._count)

    def _clear_suspect(self) -> None:
        if self._subject is not None:
            del self._absences[self._subject]  # harmless where there were none
        self._subject = None

    def _count(self) -> None:
        self._done += 1

    def _on(self, subject: Subject | None, what: str) -> None:
        """Begin a step, if there is time for it; its subject is to blame for its failure."""
        self._subject = subject
        if self._device.now() >= self._deadline:
            raise BudgetSpent
        if self._progress is not None:
            text = what if subject is None else f"{subject}: {what}"
            self._progress(self._done, self._wanted or 0, text)
