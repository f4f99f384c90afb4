from .bounds import (
    BOUNDS as BOUNDS,
    Bound as Bound,
    BoundReach as BoundReach,
    Deployed as Deployed,
    parse_bound as parse_bound,
)
from .candidates import (
    Candidates as Candidates,
    Layout as Layout,
    at_percentile as at_percentile,
    feasible as feasible,
    on_search_grid as on_search_grid,
    plain_bert_shapes as plain_bert_shapes,
)
from .latency import (
    WHOLE as WHOLE,
    WINDOW as WINDOW,
    LatencyLimit as LatencyLimit,
    Percentile as Percentile,
    SpeedUp as SpeedUp,
)
