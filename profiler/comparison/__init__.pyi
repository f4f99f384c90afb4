from .comparison import Comparison as Comparison, ComparisonPlan as ComparisonPlan, Side as Side
from .runner import Comparing as Comparing
from .sequential import CONFIDENCE as CONFIDENCE
