from .api.comparing import Comparison as Comparison, compare as compare
from .api.fitting import fit as fit, load_predictor as load_predictor
from .api.measured import Measurements as Measurements, measurements as measurements
from .api.predicting import Predictor as Predictor
from .api.predictions import Predictions as Predictions
from .api.profiling import list_devices as list_devices, profile as profile
from .api.searching import (
    SearchOutcome as SearchOutcome,
    Winner as Winner,
    search as search,
)
from .devices.settings import RunSettings as RunSettings
from .errors import (
    AtbError as AtbError,
    InputError as InputError,
    RunError as RunError,
)
from .models.architecture import Architecture as Architecture
from .models.published import KNOWN as KNOWN, PUBLISHED as PUBLISHED
from .models.space import SPACES as SPACES, SearchSpace as SearchSpace
from .profiler.database.writer import ProfileDatabase as ProfileDatabase
from .profiler.record import Conditions as Conditions
from .profiler.statistics.measurement import Measurement as Measurement

__version__: str
