from . import search as search
from .search import show as show
from .searching import note_spent as note_spent, run_one as run_one
