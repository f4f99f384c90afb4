from .comparison import (
    ComparisonPlan as ComparisonPlan,
    ComparisonResult as ComparisonResult,
    Side as Side,
)
from .runner import ComparisonRunner as ComparisonRunner
from .sequential import CONFIDENCE as CONFIDENCE
