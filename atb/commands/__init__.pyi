from . import (
    compare as compare,
    predict as predict,
    quickstart as quickstart,
    report as report,
    space as space,
)
