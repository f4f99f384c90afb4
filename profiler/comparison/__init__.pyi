from .comparison import Comparison as Comparison, ComparisonPlan as ComparisonPlan, Side as Side
from .runner import ComparisonRunner as ComparisonRunner
from .sequential import CONFIDENCE as CONFIDENCE
