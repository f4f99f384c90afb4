"""A campaign in progress: what the database holds of it, mirrored in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from atb.devices import LaunchFailure
from atb.profiler import BlockRecord, Campaign, Failure, LoadRecord, Subject
from atb.profiler.database import ProfileDatabase
from atb.profiler.statistics import (
    CacheContention,
    Measurement,
    cache_level,
    cache_log_slowdowns,
    cache_ratio,
    cache_share,
    estimator_for,
    sentinel_level,
    sentinel_seconds,
    slowdowns,
    with_pooled_variance,
)

__all__ = ["Journal"]

_BESIDE = " beside others: "
_FAILURES_TO_QUARANTINE = 2  # by itself; the first may have been an accident


class Journal:
    """Commits every block and failure at once, and answers what is there already.

    Args:
        database: Where to.
        campaign: Whose.
    """

    def __init__(self, database: ProfileDatabase, campaign: Campaign) -> None:
        self._database = database
        self._campaign = campaign
        #: The sentinel's level as earlier campaigns saw it: the same however often this resumes.
        self.level = database.sentinel_level(
            campaign.conditions, campaign.sentinel, before=campaign.id
        )
        self._cache_level = database.cache_level(campaign.conditions, before=campaign.id)
        self._records: dict[Subject, dict[tuple[int, int], BlockRecord]] = {}
        for record in database.blocks(campaign):
            self._remember(record)
        self._memory_bytes: dict[Subject, int] = {}
        for load in database.loads(campaign):
            self._remember_load(load)
        failures = database.failures(campaign=campaign.label)
        self._failed = Counter(f.subject for f in failures if f.subject is not None)
        self._failed_beside = {f.detail.partition(_BESIDE)[0] for f in failures if not f.subject}

    def _remember(self, record: BlockRecord) -> None:
        self._records.setdefault(record.subject, {})[record.launch, record.block] = record

    def _remember_load(self, load: LoadRecord) -> None:
        grown, known = load.loaded.memory_bytes or 0, self._memory_bytes.get(load.subject, 0)
        if grown > known:
            self._memory_bytes[load.subject] = grown

    def commit(self, record: BlockRecord) -> None:
        """Write a block; when this returns it is on the disk."""
        self._database.append_block(self._campaign, record)
        self._remember(record)

    def note_load(self, load: LoadRecord) -> None:
        """Write what loading a model showed."""
        self._database.append_load(self._campaign, load)
        self._remember_load(load)

    def fail(self, subject: Subject | None, failure: LaunchFailure, at: float) -> None:
        """Write a failure; of no model in particular where no subject is given."""
        campaign = self._campaign
        self._database.append_failure(
            campaign,
            Failure(
                subject, campaign.conditions, campaign.label, failure.cause, failure.detail, at
            ),
        )
        if subject is not None:
            self._failed[subject] += 1

    def fail_beside_others(self, suspect: Subject, failure: LaunchFailure, at: float) -> None:
        """Write once that a worker of several models failed when it came to one of them.

        It is a failure of none of them: the suspect is then timed alone. A campaign that was killed
        in between comes here again and has nothing more to say.
        """
        if str(suspect) not in self._failed_beside:
            self._failed_beside.add(str(suspect))
            detail = f"{suspect}{_BESIDE}{failure.detail}"
            self.fail(None, LaunchFailure(failure.cause, detail), at)

    def knows(self, subject: Subject) -> bool:
        """Whether any block of it is measured."""
        return subject in self._records

    def has(self, subject: Subject, launch: int, block: int) -> bool:
        """Whether this block is measured."""
        return (launch, block) in self._records.get(subject, {})

    def all_have(self, subjects: Iterable[Subject], launch: int, blocks: int) -> bool:
        """Whether so many blocks of this launch are measured of all that can be measured."""
        return all(
            self.has(subject, launch, block)
            for subject in subjects
            if not self.quarantined(subject)
            for block in range(blocks)
        )

    def quarantined(self, subject: Subject) -> bool:
        """Whether it failed so often that it is not tried again in this campaign."""
        return self._failed[subject] >= _FAILURES_TO_QUARANTINE

    def count(self, subjects: Iterable[Subject]) -> int:
        """Blocks of these subjects."""
        return sum(len(self._records.get(subject, {})) for subject in subjects)

    def memory_bytes(self, subject: Subject) -> int | None:
        """By how much a worker grew at most for it; None where that was not told."""
        return self._memory_bytes.get(subject)

    def iterations(self, subject: Subject) -> int | None:
        """Iterations of each stream in its first block, which all of its blocks shall have."""
        known = self._records.get(subject)
        if not known:
            return None
        requests = len(next(iter(known.values())).readings.wall_seconds)
        return requests // self._campaign.conditions.settings.streams

    def sentinel_iterations(self) -> int | None:
        """The same of the sentinel."""
        for known in self._records.values():
            for record in known.values():
                if record.sentinel_before is not None:
                    return len(record.sentinel_before.wall_seconds)
        return None

    def measurements(
        self, subjects: Iterable[Subject], *, before_launch: int, within: float | None
    ) -> list[Measurement]:
        """What the launches before this one say, which no interruption changes.

        Args:
            subjects: Of which; those in quarantine are left out.
            before_launch: Index of the first launch that is not read.
            within: What the stop rule asks for; None for no such rule.
        """
        campaign, threads = self._campaign, self._campaign.conditions.settings.threads
        earlier = [
            record
            for known in self._records.values()
            for record in known.values()
            if record.launch < before_launch
        ]
        level = self.level or sentinel_level(
            sentinel_seconds(record, threads=threads) for record in _in_time(earlier)
        )
        slower = slowdowns(earlier, threads=threads, level=level)
        pressed = cache_log_slowdowns(
            earlier,
            threads=threads,
            level=self._cache_level
            or cache_level(cache_ratio(record, threads=threads) for record in _in_time(earlier)),
        )
        by_place = {
            (record.subject, record.launch, record.block): state
            for record, *state in zip(earlier, slower, pressed, strict=True)
        }
        found, method = [], estimator_for(campaign.conditions, earlier)
        for subject, known in self._records.items():
            blocks = tuple(known[place] for place in sorted(known) if place[0] < before_launch)
            if blocks and not self.quarantined(subject):
                found.append(
                    Measurement(
                        subject,
                        campaign.conditions,
                        campaign.label,
                        blocks,
                        sentinel_reference=level,
                        within=within,
                        sequential=within is not None,
                        method=method,
                        slowdowns={
                            (r.launch, r.block): by_place[subject, r.launch, r.block][0]
                            for r in blocks
                        },
                        cache=CacheContention(
                            cache_share(subject, campaign.conditions.settings.precision),
                            {
                                (r.launch, r.block): by_place[subject, r.launch, r.block][1]
                                for r in blocks
                            },
                        ),
                    )
                )
        wanted = set(subjects)  # all of the campaign tell each other how launches differ
        return [m for m in with_pooled_variance(found) if m.subject in wanted]


def _in_time(records: Iterable[BlockRecord]) -> list[BlockRecord]:
    return sorted(records, key=lambda record: record.readings.started_at)
