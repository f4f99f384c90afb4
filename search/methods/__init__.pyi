from .generations import Generations as Generations
from .methods import (
    METHOD_GROUP as METHOD_GROUP,
    METHODS as METHODS,
    canonical_name as canonical_name,
    find_method as find_method,
    key_name as key_name,
    make_method as make_method,
)
