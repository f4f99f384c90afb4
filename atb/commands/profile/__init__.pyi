from . import profile as profile
from .profile import (
    CampaignOptions as CampaignOptions,
    EffortOptions as EffortOptions,
    SubjectOptions as SubjectOptions,
    measure as measure,
)
