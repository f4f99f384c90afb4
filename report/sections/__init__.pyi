from .search import (
    baseline_section as baseline_section,
    search_section as search_section,
    winner_section as winner_section,
)
from .sections import (
    device_section as device_section,
    latency_section as latency_section,
    predictor_section as predictor_section,
)
