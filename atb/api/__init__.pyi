from .comparing import Comparison as Comparison, compare as compare
from .fitting import fit as fit, load_predictor as load_predictor
from .measured import Measurements as Measurements, measurements as measurements
from .predicting import Predictor as Predictor
from .predictions import Predictions as Predictions
from .profiling import list_devices as list_devices, profile as profile
from .searching import (
    SearchOutcome as SearchOutcome,
    Winner as Winner,
    search as search,
)
