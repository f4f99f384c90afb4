from .alternatives import Settings as Settings, search_settings as search_settings
from .candidate import Candidate as Candidate, LimitVerdict as LimitVerdict
from .contract import (
    Factory as Factory,
    MethodSettings as MethodSettings,
    Scored as Scored,
    SearchMethod as SearchMethod,
)
from .graphs import (
    CHECK_SEQUENCES as CHECK_SEQUENCES,
    FP32_FILE as FP32_FILE,
    INT8_FILE as INT8_FILE,
    check_graphs as check_graphs,
    checks_told as checks_told,
    head_of as head_of,
    open_session as open_session,
    sizes_of as sizes_of,
    write_graphs as write_graphs,
)
from .request import SearchRequest as SearchRequest
from .result import SearchResult as SearchResult, Weighed as Weighed, read_result as read_result
from .run import search as search
from .targets import Place as Place
from .verification import MARGIN as MARGIN, Budget as Budget, Verifier as Verifier
