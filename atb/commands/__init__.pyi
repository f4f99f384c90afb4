from . import (
    compare as compare,
    data as data,
    database as database,
    devices as devices,
    model as model,
    predict as predict,
    profile as profile,
    quickstart as quickstart,
    report as report,
    search as search,
    space as space,
)
