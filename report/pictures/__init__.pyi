from . import numbers as numbers, pictures as pictures, search as search
from .baselines import baseline_latencies as baseline_latencies
from .drawing import in_both_widths as in_both_widths
from .interval_rows import intervals as intervals
from .learning import error_curve as error_curve, learning_curves as learning_curves
from .numbers import (
    count as count,
    digits as digits,
    many as many,
    milliseconds as milliseconds,
    percent as percent,
    size as size,
    times as times,
)
from .operator_times import operators as operators
from .pictures import work as work
from .shape_lines import shapes as shapes
from .style import COLOURS as COLOURS, DARK as DARK
from .svg import Picture as Picture
