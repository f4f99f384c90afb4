from .baselines import (
    PEERS as PEERS,
    Regressor as Regressor,
    WorkTerms as WorkTerms,
    architecture_peers as architecture_peers,
)
from .comparison import Comparison as Comparison, compare as compare, random_splits as random_splits
