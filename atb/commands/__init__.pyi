from . import (
    compare as compare,
    data as data,
    database as database,
    predict as predict,
    quickstart as quickstart,
    report as report,
    space as space,
)
