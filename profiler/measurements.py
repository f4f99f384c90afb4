"""Measurements out of records: the one place where blocks, loads and levels are put together.

A latency is corrected by how far the machine was off its level. Levels are shared by all campaigns
under the same conditions, and a campaign shares how launches differ, so that a measurement is made
of more than the blocks of its own subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from atb.models import Architecture
from atb.profiler.database import ProfileReader
from atb.profiler.record import BlockRecord, Campaign, Conditions, LoadRecord, ModelFile, Subject
from atb.profiler.statistics import (
    DEFAULT_ESTIMATOR,
    ESTIMATORS,
    LEVEL_READINGS,
    MOST_LEVEL_BLOCKS,
    CacheContention,
    Estimator,
    Measurement,
    cache_level,
    cache_log_slowdowns,
    cache_ratio,
    cache_share,
    mean_seconds,
    pool_variances,
    sentinel_level,
    sentinel_seconds,
    slowdowns,
    waits_for_itself,
)


@dataclass(frozen=True, slots=True)
class Levels:
    """What the sentinels return to when nothing disturbs the machine.

    Attributes:
        sentinel_seconds: Latency of the sentinel; None where none was timed.
        cache_ratio: Latency of the second sentinel over that of the first; None likewise.
    """

    sentinel_seconds: float | None
    cache_ratio: float | None

    def completed(self, blocks: Iterable[BlockRecord], threads: int) -> Levels:
        """The same, with what is unknown taken from the blocks of one campaign.

        Args:
            blocks: Of all subjects.
            threads: Threads that computed an inference.
        """
        in_time = sorted(blocks, key=lambda record: record.readings.started_at)
        return Levels(
            self.sentinel_seconds
            or sentinel_level(sentinel_seconds(record, threads=threads) for record in in_time),
            self.cache_ratio
            or cache_level(cache_ratio(record, threads=threads) for record in in_time),
        )


def assemble(
    campaign: Campaign,
    blocks: Sequence[BlockRecord],
    levels: Levels,
    *,
    within: float | None,
    sequential: bool,
    loads: Iterable[LoadRecord] = (),
    left_out: Collection[Subject] = (),
) -> list[Measurement]:
    """One measurement for each subject of a campaign, in the order in which they first occur.

    Args:
        campaign: The campaign.
        blocks: Of all subjects; together they tell how fast the machine was at any time.
        levels: What the sentinels return to.
        within: Precision that was last asked for, as a share of the latency; None for none.
        sequential: Whether a stop rule looked at the intervals.
        loads: What loading the subjects showed, the oldest first.
        left_out: Subjects of which no measurement is made.
    """
    conditions = campaign.conditions
    settings, method = conditions.settings, _estimator_for(conditions, blocks)
    slower = slowdowns(blocks, threads=settings.threads, level=levels.sentinel_seconds)
    pressed = cache_log_slowdowns(blocks, threads=settings.threads, level=levels.cache_ratio)
    grouped: dict[Subject, list[tuple[BlockRecord, float, float]]] = {}
    for record, slowdown, pressure in zip(blocks, slower, pressed, strict=True):
        grouped.setdefault(record.subject, []).append((record, slowdown, pressure))
    loaded: dict[Subject, list[LoadRecord]] = {}
    for load in loads:
        loaded.setdefault(load.subject, []).append(load)
    found = []
    for subject, own in grouped.items():
        if subject in left_out:
            continue
        own.sort(key=lambda item: (item[0].launch, item[0].block))
        share = cache_share(subject, settings.precision)
        found.append(
            Measurement(
                subject,
                conditions,
                campaign.label,
                tuple(record for record, *_ in own),
                sentinel_reference=levels.sentinel_seconds,
                within=within,
                sequential=sequential,
                slowdowns={(r.launch, r.block): slowdown for r, slowdown, _ in own},
                cache=CacheContention(share, {(r.launch, r.block): p for r, _, p in own}),
                loads=tuple(loaded.get(subject, ())),
                method=method,
            )
        )
    pooled = pool_variances([m.launch_values for m in found])
    return [replace(m, pooled_variance=pooled) for m in found]


def _estimator_for(conditions: Conditions, blocks: Iterable[BlockRecord]) -> Estimator:
    """How a latency is estimated under conditions; blocks tell how many CPUs there were.

    `hot-loop` is corrected by the sentinel and takes what the undisturbed device can do. The other
    scenarios ask for something else than that, so that their latency is a plain median.
    """
    name = DEFAULT_ESTIMATOR.name if conditions.settings.scenario == "hot-loop" else "median"
    itself = waits_for_itself(conditions, (record.state for record in blocks))
    return ESTIMATORS[f"{name}-with-waits" if itself else name]


def read_levels(
    reader: ProfileReader,
    conditions: Conditions,
    sentinel: Architecture,
    *,
    before: int | None = None,
) -> Levels:
    """The levels under conditions, by all campaigns of a database.

    Were they taken from each campaign alone, one on a slow day would be corrected to that day's
    level, and two days could not agree.

    Args:
        reader: The database.
        conditions: Under which.
        sentinel: The architecture that was timed beside the blocks.
        before: Only campaigns that came into the database before the one of this id are read.
    """
    threads = conditions.settings.threads
    around = reader.sentinel_blocks(conditions, sentinel, most=MOST_LEVEL_BLOCKS, before=before)
    second = reader.cache_sentinel_blocks(conditions, most=LEVEL_READINGS, before=before)
    return Levels(
        sentinel_level(mean_seconds(*blocks, threads=threads) for blocks in around),
        cache_level(cache_ratio(record, threads=threads) for record in second),
    )


def read_measurements(
    reader: ProfileReader,
    conditions: Conditions | None = None,
    campaign: str | None = None,
    space: str | None = None,
    *,
    models: bool = False,
) -> list[Measurement]:
    """One measurement for each architecture of each campaign, the oldest campaign first.

    Args:
        reader: The database.
        conditions: Only those under these; None leaves a filter open.
        campaign: Only those of the campaign of this label.
        space: Only those that were sampled in this space.
        models: Whether users' own models are among them, which have no architecture.
    """
    levels: dict[tuple[Conditions, Architecture], Levels] = {}
    found: list[Measurement] = []
    for known in reader.campaigns(conditions, campaign, space):
        place = known.conditions, known.sentinel
        if place not in levels:
            levels[place] = read_levels(reader, *place)
        found += _read(reader, known, levels[place])
    return [m for m in found if models or not isinstance(m.subject, ModelFile)]


def measurements_as_of(reader: ProfileReader, campaign: Campaign) -> list[Measurement]:
    """What a campaign found, by the levels that were known when it was the newest.

    What is measured afterwards may move those levels, and with them what `read_measurements` says
    by a percent or more; decisions that rest on a campaign shall be the same when they are made
    again. Users' own models are among them.
    """
    before = campaign.id + 1
    levels = read_levels(reader, campaign.conditions, campaign.sentinel, before=before)
    return _read(reader, campaign, levels)


def _read(reader: ProfileReader, campaign: Campaign, levels: Levels) -> list[Measurement]:
    asked = reader.precisions_asked(campaign)
    return assemble(
        campaign,
        reader.blocks(campaign),
        levels,
        within=asked[-1] if asked else None,
        sequential=any(within is not None for within in asked),
        loads=reader.loads(campaign),
    )
