from .campaign import CampaignResult as CampaignResult, run_campaign as run_campaign
from .details import (
    BreakDown as BreakDown,
    Tokenisation as Tokenisation,
    break_down as break_down,
    require_operators as require_operators,
    time_tokenisation as time_tokenisation,
)
from .inspection import weight_warnings as weight_warnings
from .plan import Plan as Plan, plan_of as plan_of
from .scheduler import ArtefactStore as ArtefactStore
from .state import Progress as Progress
