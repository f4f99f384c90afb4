from . import numbers as numbers, pictures as pictures, search as search
from .baselines import baseline_latencies as baseline_latencies
from .charts import (
    error_curve as error_curve,
    intervals as intervals,
    learning_curves as learning_curves,
    operators as operators,
)
from .drawing import in_both_widths as in_both_widths
from .numbers import (
    count as count,
    digits as digits,
    many as many,
    milliseconds as milliseconds,
    percent as percent,
    size as size,
    times as times,
)
from .pictures import work as work
from .style import COLOURS as COLOURS, DARK as DARK
from .svg import Picture as Picture
