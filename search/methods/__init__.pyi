from .methods import (
    METHODS as METHODS,
    canonical_name as canonical_name,
    find_method as find_method,
    key_name as key_name,
    make_method as make_method,
)
