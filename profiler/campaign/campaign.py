"""A campaign from the first block to the last: resumes, extends, asks for more, ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from atb.devices import Device, RunSettings, Runtime
from atb.profiler import Conditions, Failure, Subject, measurements_as_of
from atb.profiler.campaign.allocation import Wanted, crosses, next_round
from atb.profiler.campaign.artefacts import ArtefactStore
from atb.profiler.campaign.plan import Plan
from atb.profiler.campaign.scheduler import Scheduler
from atb.profiler.campaign.state import BudgetSpent, CampaignState, Progress
from atb.profiler.database import ProfileDatabase
from atb.profiler.statistics import Measurement

__all__ = ["CampaignResult", "measure", "run_campaign"]


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
