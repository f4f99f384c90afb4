"""The state of a campaign: what it has measured, what failed, and what it may still spend.

One object has all that changes while a campaign runs. The scheduler and the sessions read it and
tell it what happened; it calls neither of them. What has to outlive the process is written to the
database before it is remembered here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from atb.devices import Device, LaunchFailure
from atb.profiler import (
    BlockRecord,
    Campaign,
    Failure,
    LoadRecord,
    Subject,
    assemble,
    read_levels,
)
from atb.profiler.campaign.plan import Plan
from atb.profiler.database import ProfileDatabase
from atb.profiler.statistics import MOST_SLOWDOWN, DriftWatch, Measurement

#: Receives blocks done, blocks wanted (0 where measuring decides it), and what is going on.
Progress = Callable[[int, int, str], None]

_BESIDE = " beside others: "
_FAILURES_TO_QUARANTINE = 2  # by itself; the first may have been an accident
_ABSENCES_TO_BLAME = 3  # of the device, whenever it comes to one subject


class BudgetSpent(Exception):
    """The campaign's time is over."""


class CampaignState:
    """What a campaign knows, and what it does now.

    Args:
        campaign: The campaign.
        database: Where every block, load and failure is committed at once.
        device: Its clock says when the budget is spent.
        plan: What is measured, how precisely, and how long.
        progress: Told of every step.

    Attributes:
        watch: Tells whether the machine is off its level, across workers.
        wait_budget_seconds: How long the campaign may still wait for the machine to return to it.
    """

    def __init__(
        self,
        campaign: Campaign,
        database: ProfileDatabase,
        device: Device,
        plan: Plan,
        progress: Progress | None = None,
    ) -> None:
        self._campaign = campaign
        self._database = database
        self._device = device
        self._plan = plan
        self._progress = progress
        # as earlier campaigns saw them: the same however often this one resumes
        self._levels = read_levels(
            database, campaign.conditions, campaign.sentinel, before=campaign.id
        )
        self._blocks: dict[Subject, dict[tuple[int, int], BlockRecord]] = {}
        for record in database.blocks(campaign):
            self._remember(record)
        self._memory_bytes: dict[Subject, int] = {}
        for load in database.loads(campaign):
            self._remember_load(load)
        failures = database.failures(campaign=campaign.label)
        self._failed = Counter(f.subject for f in failures if f.subject is not None)
        self._failed_beside = {f.detail.partition(_BESIDE)[0] for f in failures if not f.subject}
        self._done = sum(len(self._blocks.get(subject, {})) for subject in plan.subjects)
        self._wanted: int | None = None
        self._suspect: Subject | None = None
        self._absences: Counter[Subject] = Counter()  # of the device, since each was measured
        self._deadline = device.now() + (plan.budget_seconds or math.inf)
        self.watch = DriftWatch(self._levels.sentinel_seconds, band=MOST_SLOWDOWN)
        self.wait_budget_seconds = plan.wait_seconds

    # ---------------------------------------------------------------- what happens

    def expect(self, blocks: Mapping[Subject, int], launches: Sequence[int]) -> None:
        """Take the first blocks that are planned as the end that progress goes to.

        Where the stop rule decides, or launches have to be replaced, nobody knows the end.
        """
        if self._wanted is not None or self._plan.within is not None:
            self._wanted = 0
            return
        self._wanted = self._done + sum(
            not self.has(subject, launch, block)
            for subject, count in blocks.items()
            for launch in launches
            for block in range(count)
        )

    def begin(self, what: str, subject: Subject | None = None) -> None:
        """Begin a step, if there is time for it.

        Args:
            what: The step, for the progress line.
            subject: The one that a failure of the step is attributed to; None for none.

        Raises:
            BudgetSpent: There is no time left.
        """
        self._suspect = subject
        if self._device.now() >= self._deadline:
            raise BudgetSpent
        if self._progress is not None:
            text = what if subject is None else f"{subject}: {what}"
            self._progress(self._done, self._wanted or 0, text)

    def clear_suspect(self) -> None:
        """Note that the subject of the step has done its part, and owns no failure from now on."""
        if self._suspect is not None:
            del self._absences[self._suspect]  # harmless where there were none
        self._suspect = None

    def attribute(self, failure: LaunchFailure) -> Subject | None:
        """The subject that a failure belongs to; None where it is the device's.

        A connection is cut by chance, at whatever is going on; but what brings the machine down
        whenever it is loaded or timed is left out in the end.
        """
        subject = self._suspect
        if subject is None or failure.cause != "device-gone":
            return subject
        self._absences[subject] += 1
        return subject if self._absences[subject] >= _ABSENCES_TO_BLAME else None

    def commit(self, record: BlockRecord) -> None:
        """Write a block; when this returns it is on the disk."""
        self._database.append_block(self._campaign, record)
        self._remember(record)
        self._done += 1

    def commit_load(self, load: LoadRecord) -> None:
        """Write what loading a model showed."""
        self._database.append_load(self._campaign, load)
        self._remember_load(load)

    def commit_failure(self, subject: Subject | None, failure: LaunchFailure) -> None:
        """Write a failure; of no model in particular where no subject is given."""
        campaign, at = self._campaign, self._device.now()
        cause, detail = failure.cause, failure.detail
        self._database.append_failure(
            campaign, Failure(subject, campaign.conditions, campaign.label, cause, detail, at)
        )
        if subject is not None:
            self._failed[subject] += 1

    def commit_failure_beside_others(self, suspect: Subject, failure: LaunchFailure) -> None:
        """Write once that a worker of several models failed when it came to one of them.

        It is a failure of none of them: the suspect is then timed alone. A campaign that was killed
        in between comes here again and has nothing more to say.
        """
        if str(suspect) not in self._failed_beside:
            self._failed_beside.add(str(suspect))
            detail = f"{suspect}{_BESIDE}{failure.detail}"
            self.commit_failure(None, LaunchFailure(failure.cause, detail))

    def _remember(self, record: BlockRecord) -> None:
        self._blocks.setdefault(record.subject, {})[record.launch, record.block] = record

    def _remember_load(self, load: LoadRecord) -> None:
        grown, known = load.loaded.memory_bytes or 0, self._memory_bytes.get(load.subject, 0)
        if grown > known:
            self._memory_bytes[load.subject] = grown

    # ---------------------------------------------------------------- what is known

    def knows(self, subject: Subject) -> bool:
        """Whether any block of a subject is measured."""
        return subject in self._blocks

    def has(self, subject: Subject, launch: int, block: int) -> bool:
        """Whether a block is measured."""
        return (launch, block) in self._blocks.get(subject, {})

    def all_have(self, subjects: Iterable[Subject], launch: int, blocks: int) -> bool:
        """Whether so many blocks of a launch are measured of all subjects that can be measured."""
        return all(
            self.has(subject, launch, block)
            for subject in subjects
            if not self.quarantined(subject)
            for block in range(blocks)
        )

    def quarantined(self, subject: Subject) -> bool:
        """Whether a subject failed so often that it is not tried again in this campaign."""
        return self._failed[subject] >= _FAILURES_TO_QUARANTINE

    def memory_bytes(self, subject: Subject) -> int | None:
        """By how much a worker grew at most for a subject; None where that is not known."""
        return self._memory_bytes.get(subject)

    def iterations(self, subject: Subject) -> int | None:
        """Iterations of each stream in a subject's first block, which all its blocks shall have."""
        known = self._blocks.get(subject)
        if not known:
            return None
        requests = len(next(iter(known.values())).readings.wall_seconds)
        return requests // self._campaign.conditions.settings.streams

    def sentinel_iterations(self) -> int | None:
        """Iterations of the sentinel's first block."""
        for known in self._blocks.values():
            for record in known.values():
                if record.sentinel_before is not None:
                    return len(record.sentinel_before.wall_seconds)
        return None

    def measurements(self, subjects: Iterable[Subject], *, before_launch: int) -> list[Measurement]:
        """What the launches before one of them say, which no interruption changes.

        Args:
            subjects: Of which; those in quarantine are left out.
            before_launch: Index of the first launch that is not read.
        """
        earlier = [
            record
            for known in self._blocks.values()
            for record in known.values()
            if record.launch < before_launch
        ]
        found = assemble(
            self._campaign,
            earlier,
            self._levels.completed(earlier, self._campaign.conditions.settings.threads),
            within=self._plan.within,
            sequential=self._plan.within is not None,
            left_out=[subject for subject in self._blocks if self.quarantined(subject)],
        )
        wanted = set(subjects)  # the others told how launches differ
        return [m for m in found if m.subject in wanted]
