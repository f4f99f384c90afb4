from .baselines import (
    BASELINES as BASELINES,
    Regressor as Regressor,
    WorkTerms as WorkTerms,
    architecture_baselines as architecture_baselines,
)
from .comparison import (
    PredictorScore as PredictorScore,
    compare as compare,
    random_splits as random_splits,
)
