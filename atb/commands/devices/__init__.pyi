from . import (
    add as add,
    bundle as bundle,
    check as check,
    list_all as list_all,
    remove as remove,
    show as show,
)
