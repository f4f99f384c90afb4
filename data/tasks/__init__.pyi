from .glue import GLUE as GLUE
from .squad import SQUAD as SQUAD
from .tasks import (
    Examples as Examples,
    Feature as Feature,
    Outputs as Outputs,
    Task as Task,
    check_split as check_split,
    hold_out as hold_out,
)
