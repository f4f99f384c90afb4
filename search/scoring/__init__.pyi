from .executors import (
    Executor as Executor,
    LocalExecutor as LocalExecutor,
    ProcessExecutor as ProcessExecutor,
    RayExecutor as RayExecutor,
)
from .graphs import (
    FP32_FILE as FP32_FILE,
    INT8_FILE as INT8_FILE,
    head_of as head_of,
    open_session as open_session,
    write_graphs as write_graphs,
)
from .int8_slices import as_deployed as as_deployed
from .proxies import (
    check_options as check_options,
    default_on_text as default_on_text,
    make_proxy as make_proxy,
)
from .proxy import (
    DescribedProxy as DescribedProxy,
    ExactProxy as ExactProxy,
    ExactRoughProxy as ExactRoughProxy,
    Proxy as Proxy,
    ProxyName as ProxyName,
    superplm_sha256 as superplm_sha256,
)
from .pruning import Pruning as Pruning, Scores as Scores, score_generation as score_generation
from .scores import ScoreFile as ScoreFile
