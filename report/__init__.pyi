from .baselines import Baseline as Baseline
from .held_out import UnseenPredictions as UnseenPredictions, unseen as unseen
from .page import write_page as write_page
