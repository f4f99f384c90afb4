from . import (
    export as export,
    import_file as import_file,
    info as info,
    merge as merge,
    repair as repair,
)
