"""What `atb profile --until-error` does, and how it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atb.commands.output import print_status, progress
from atb.errors import InputError

if TYPE_CHECKING:
    from atb.commands.arguments import MeasuringTarget
    from atb.predictor.sampling import SamplingStep
    from atb.profiler.campaign import CampaignResult, Plan

#: Architectures at most, where --samples does not say.
DEFAULT_MOST = 100
#: Where the error against the number of measurements is drawn.
_PICTURE = Path("atb-runs/until-error.png")


def measure_until_error(
    targets: list[MeasuringTarget], plan: Plan, db: str, *, error: str, most: int | None
) -> CampaignResult:
    """Measure chosen architectures until predictions are as good as was asked for.

    Args:
        targets: Where and how; one.
        plan: With the space to choose from.
        db: File or URL of the database.
        error: In the user's words, such as 2%.
        most: Architectures at most.

    Raises:
        InputError: There are several targets, or the plan has no space.
    """
    from atb.files import prepare_output
    from atb.predictor.sampling import measure_until, require_enough
    from atb.profiler.database import ProfileDatabase
    from atb.report.pictures import error_curve
    from atb.units import parse_percent

    if len(targets) != 1:
        raise InputError("--until-error chooses for one set of settings: give no lists beside it.")
    target, wanted = targets[0], parse_percent(error)
    most = DEFAULT_MOST if most is None else most
    require_enough(most)
    prepare_output(_PICTURE)

    def say(step: SamplingStep) -> None:
        print_status(f"{step.measured} measured: error on held-out ones {step.error:.2%}")

    with ProfileDatabase(db, create=True) as database:
        where = (target.device, target.runtime, target.settings)
        print_status(f"{target.conditions}: chosen of {plan.space.name if plan.space else ''}")
        with progress("profile") as show:
            found = measure_until(
                *where, plan, database, error=wanted, most=most, progress=show, stepped=say
            )
        error_curve(found.steps, wanted).save(_PICTURE)
        ended = "reached" if found.reached else "not reached: allow more with --samples or --budget"
        print_status(
            f"campaign {found.result.campaign}: an error of {error} is {ended}; picture: {_PICTURE}"
        )
        return found.result
