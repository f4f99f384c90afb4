from .estimators import (
    DEFAULT_ESTIMATOR as DEFAULT_ESTIMATOR,
    ESTIMATORS as ESTIMATORS,
    Estimator as Estimator,
    pool_variances as pool_variances,
)
from .measurement import (
    MOST_DISTURBED as MOST_DISTURBED,
    MOST_SLOWDOWN as MOST_SLOWDOWN,
    Flag as Flag,
    FlagKind as FlagKind,
    Measurement as Measurement,
    advice_of as advice_of,
)
from .readings import (
    BlockValue as BlockValue,
    block_value as block_value,
    waits_for_itself as waits_for_itself,
)
from .sentinel import (
    CACHE_SENTINEL as CACHE_SENTINEL,
    LEVEL_READINGS as LEVEL_READINGS,
    MOST_LEVEL_BLOCKS as MOST_LEVEL_BLOCKS,
    CacheContention as CacheContention,
    DriftWatch as DriftWatch,
    cache_level as cache_level,
    cache_log_slowdowns as cache_log_slowdowns,
    cache_ratio as cache_ratio,
    cache_share as cache_share,
    mean_seconds as mean_seconds,
    sentinel_level as sentinel_level,
    sentinel_seconds as sentinel_seconds,
    slowdowns as slowdowns,
)
