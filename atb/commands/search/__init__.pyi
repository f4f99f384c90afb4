from . import search as search
from .outcome import print_search as print_search
from .search import (
    CandidateOptions as CandidateOptions,
    FileOptions as FileOptions,
    MethodOptions as MethodOptions,
    find_winner as find_winner,
)
from .searching import print_spent as print_spent, run_one as run_one
