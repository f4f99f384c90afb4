from . import search as search
from .outcome import print_search as print_search
from .searching import print_spent as print_spent, run_one as run_one
