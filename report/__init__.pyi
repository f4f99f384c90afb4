from .baselines import Baseline as Baseline
from .held_out import UnseenPredictions as UnseenPredictions, unseen as unseen
from .page import write_page as write_page
from .provenance import model_files as model_files, snippets_of as snippets_of
