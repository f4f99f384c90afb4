"""A campaign from the first block to the last: resumes, extends, asks for more, ends.

It asks for more where another launch helps most, of as many blocks as suit the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atb.devices import Device, RunSettings, Runtime
from atb.profiler import Conditions, Failure, Subject, measurements_as_of
from atb.profiler.campaign.plan import Plan
from atb.profiler.campaign.scheduler import ArtefactStore, Scheduler
from atb.profiler.campaign.state import BudgetSpent, CampaignState, Progress
from atb.profiler.database import ProfileDatabase
from atb.profiler.statistics import MOST_SLOWDOWN, Measurement

#: What one launch costs for one model beside its blocks: loading, and settling caches.
_LAUNCH_SECONDS = 0.1
#: Launches of which the blocks are told apart from the launches themselves.
_FEWEST_FOR_COMPONENTS = 3
_MOST_BLOCKS = 6
#: Of the width that is wanted: where launches contribute less, others do not make it narrower.
_LAUNCHES_SHARE = 0.7
#: Half width, as a share, at which it is no longer asked on which side of a limit a latency lies.
_FINEST = 0.005


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subject that needs another launch.

    Attributes:
        subject: Which.
        blocks: To time in it.
        cost_seconds: Of all launches that it is expected to need still.
    """

    subject: Subject
    blocks: int
    cost_seconds: float


def crosses(m: Measurement, limit_seconds: float) -> bool:
    """Whether the latency meets the limit, and the interval does not."""
    return m.latency_seconds <= limit_seconds < m.interval_seconds[1]


def next_round(
    measurements: Iterable[Measurement],
    *,
    within: float | None,
    blocks: int,
    limit_seconds: float | None = None,
) -> list[Wanted]:
    """The subjects that need another launch, the one that gets done for the least time first.

    With a limited budget this order gets most subjects to the precision asked for.

    Args:
        measurements: What is known of each.
        within: Half width of the interval that is wanted, as a share; None asks only that enough
            was timed while the machine was near its level.
        blocks: Of a launch as long as little is known.
        limit_seconds: With `within`, what the latency is held against: of one that lies above it
            with its whole interval nothing more is wanted, and one that meets it while its interval
            crosses it is wanted as precisely as it is near.
    """
    wanted = []
    for m in measurements:
        width = within
        if within is not None and limit_seconds is not None:
            if m.interval_seconds[0] > limit_seconds:
                continue
            if crosses(m, limit_seconds):
                width = min(within, max(limit_seconds / m.latency_seconds - 1, _FINEST))
        need = _launches_needed(m, width)
        if need:
            count = _blocks_a_launch(m, blocks)
            cost = need * (_LAUNCH_SECONDS + count * _block_seconds(m))
            wanted.append(Wanted(m.subject, count, cost))
    return sorted(wanted, key=lambda w: w.cost_seconds)


def _launches_needed(m: Measurement, within: float | None) -> int:
    """What comes from how launches differ shrinks with their root; what corrections leave does not.

    Where corrections alone take up the width that is wanted, launches are added until they no
    longer matter beside them, and no further.
    """
    if within is not None and m.estimate.relative_half_width > within:
        corrections = m.estimate.correction_half_width
        launches = math.sqrt(max(m.estimate.relative_half_width**2 - corrections**2, 0.0))
        wanted = max(math.sqrt(max(within**2 - corrections**2, 0.0)), _LAUNCHES_SHARE * within)
        if launches > wanted:
            return max(1, math.ceil(m.launches * ((launches / wanted) ** 2 - 1)))
    return int(max(abs(m.slowdown - 1), abs(m.pressure)) > MOST_SLOWDOWN)


def _block_seconds(m: Measurement) -> float:
    return float(np.median([sum(record.readings.wall_seconds) for record in m.blocks]))


def _blocks_a_launch(m: Measurement, usual: int) -> int:
    """As many as make the interval narrow for the least time, by the spread that was seen.

    With a spread b between the blocks of a launch and l between launches, whose costs are c_b and
    c_l, the best number is b / l * sqrt(c_l / c_b) (Cochran, Sampling Techniques, 1977, 10.6).
    """
    launches: dict[int, list[float]] = {}
    for record in m.kept:
        value = float(np.median(record.readings.wall_seconds))
        launches.setdefault(record.launch, []).append(math.log(value))
    # a median, since one burst is no spread; over that of chi-square (Wilson and Hilferty, 1931)
    inside = [
        float(np.var(values, ddof=1)) / (1 - 2 / (9 * (len(values) - 1))) ** 3
        for values in launches.values()
        if len(values) > 1
    ]
    if len(launches) < _FEWEST_FOR_COMPONENTS or not inside:
        return usual
    block = float(np.median(inside))
    means = [float(np.mean(values)) for values in launches.values()]
    launch = max(float(np.var(means, ddof=1)) - block / usual, 1e-12)
    best = math.sqrt(block / launch * _LAUNCH_SECONDS / _block_seconds(m))
    return min(max(round(best), 2), _MOST_BLOCKS)


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What a campaign holds when it ends.

    Attributes:
        campaign: Its label.
        measurements: In the order of the plan; without those that could not be measured.
        failures: All that failed in it, the oldest first.
        ended_by: `complete`: all planned blocks are there, no precision was asked for.
            `within`: the precision asked for is reached. `most-launches`: it is not, and no more
            launches are spent. `budget`: the time was over.
        given_up: What failed by itself so often that it is not tried again in this campaign.
    """

    campaign: str
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...]
    ended_by: str
    given_up: tuple[Subject, ...] = ()


def run_campaign(
    device: Device,
    runtime: Runtime,
    settings: RunSettings,
    plan: Plan,
    database: ProfileDatabase,
    *,
    new: bool = False,
    progress: Progress | None = None,
) -> CampaignResult:
    """Measure what the plan asks for and the database does not hold yet.

    The same plan goes on where it was interrupted; more samples of a space add to it. Every block
    is committed when it is measured.

    Args:
        device: Where.
        runtime: With what.
        settings: How.
        plan: What, and how precisely.
        database: Opened with `create=True`.
        new: Begin another campaign of this name.
        progress: Told after every block: blocks done, blocks wanted (0 where it is not known yet
            how many), what is going on.

    Raises:
        RunError: The device failed repeatedly, or the disk is full; what was measured stays.
    """
    campaign = database.open_campaign(
        name=plan.name,
        space="" if plan.space is None else plan.space.name,
        seed=plan.seed,
        conditions=Conditions.of(device, runtime, settings),
        launches=plan.launches,
        sentinel=plan.sentinel,
        identity=plan.identity,
        new=new,
    )
    with database.campaign_lock(campaign), ArtefactStore(runtime, settings) as artefacts:
        database.append_session(campaign, started_at=device.now(), within=plan.within)
        state = CampaignState(campaign, database, device, plan, progress)
        scheduler = Scheduler(device, runtime, settings, plan, artefacts=artefacts, state=state)
        try:
            blocks = dict.fromkeys(plan.subjects, plan.blocks)
            scheduler.measure(blocks, range(plan.first_launches))
            ended_by = _add_launches(scheduler, state, plan)
        except BudgetSpent:
            ended_by = "budget"
    found = {m.subject: m for m in measurements_as_of(database, campaign)}
    return CampaignResult(
        campaign=campaign.label,
        measurements=tuple(found[a] for a in plan.subjects if a in found),
        failures=tuple(database.failures(campaign=campaign.label)),
        ended_by=ended_by,
        given_up=tuple(filter(state.quarantined, plan.subjects)),
    )


def _add_launches(scheduler: Scheduler, state: CampaignState, plan: Plan) -> str:
    """Spend a launch more on what is not known well enough, until nothing is left.

    A decision reads only the launches before it, so that a resumed campaign decides alike.

    Returns:
        What ended it; see `CampaignResult`.
    """
    subjects: Sequence[Subject] = plan.subjects
    first = plan.first_launches
    # launches that an earlier command gave to all are read before anything is decided
    while first < plan.last_launch and state.all_have(plan.subjects, first, plan.blocks):
        first += 1
    if first > plan.first_launches:
        # but the last of them may have been interrupted in the midst of more than `plan.blocks`
        decided = _wanted(subjects, first - 1, state, plan)
        scheduler.measure({w.subject: w.blocks for w in decided}, [first - 1])
    for launch in range(first, plan.last_launch + 1):
        wanted = _wanted(subjects, launch, state, plan)
        if not wanted:
            return "complete" if plan.within is None else "within"
        if launch < plan.last_launch:
            # what is cheapest to finish comes first where time is limited
            blocks = {w.subject: w.blocks for w in wanted}
            scheduler.measure(blocks, [launch], in_order=plan.budget_seconds is not None)
        subjects = [w.subject for w in wanted]
    return "complete" if plan.within is None else "most-launches"


def _wanted(
    subjects: Sequence[Subject], launch: int, state: CampaignState, plan: Plan
) -> list[Wanted]:
    """The subjects that need a launch, by what the launches before it say."""
    found = state.measurements(subjects, before_launch=launch)
    if plan.limit_seconds is not None and launch >= plan.most_launches:
        found = [m for m in found if crosses(m, plan.limit_seconds)]
    return next_round(
        found, within=plan.within, blocks=plan.blocks, limit_seconds=plan.limit_seconds
    )


def measure(
    device: Device,
    runtime: Runtime,
    settings: RunSettings,
    subjects: Iterable[Subject],
    database: ProfileDatabase,
    *,
    name: str,
    progress: Progress | None = None,
    **how: Any,
) -> list[Measurement]:
    """Measure subjects in a new campaign.

    Args:
        device: Where.
        runtime: With what.
        settings: How.
        subjects: What.
        database: Opened with `create=True`.
        name: Of the campaign; it is numbered from the second of that name on.
        progress: See `run_campaign`.
        how: Further attributes of `Plan` by name, such as `within`.

    Returns:
        In the order given; those that failed are missing and stand in the database's failures.
    """
    plan = Plan(tuple(subjects), name=name, **how)
    result = run_campaign(device, runtime, settings, plan, database, new=True, progress=progress)
    return list(result.measurements)
