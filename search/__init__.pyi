from .alternatives import (
    Alternative as Alternative,
    search_alternatives as search_alternatives,
)
from .candidate import Candidate as Candidate, LimitVerdict as LimitVerdict
from .contract import (
    Factory as Factory,
    MethodSettings as MethodSettings,
    Scored as Scored,
    SearchMethod as SearchMethod,
)
from .request import SearchRequest as SearchRequest
from .result import (
    AlternativeResult as AlternativeResult,
    Quality as Quality,
    SearchResult as SearchResult,
    read_result as read_result,
    write_result as write_result,
)
from .run import RESULT as RESULT, search as search
from .targets import Target as Target
from .verification import MARGIN as MARGIN
from .verifier import Budget as Budget, Verifier as Verifier
