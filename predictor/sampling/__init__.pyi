from .choosing import choose_rows as choose_rows
from .until_error import (
    Step as Step,
    measure_until as measure_until,
    require_enough as require_enough,
)
