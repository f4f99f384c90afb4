from .choosing import choose_rows as choose_rows
from .until_error import (
    SamplingStep as SamplingStep,
    measure_until as measure_until,
    require_enough as require_enough,
)
