from .proxies import check_options as check_options, make_proxy as make_proxy
from .proxy import (
    DescribedProxy as DescribedProxy,
    ExactProxy as ExactProxy,
    ExactRoughProxy as ExactRoughProxy,
    Proxy as Proxy,
    ProxyName as ProxyName,
    superplm_sha256 as superplm_sha256,
)
from .pruning import Scores as Scores, Screening as Screening, score_generation as score_generation
from .scores import ScoreFile as ScoreFile
from .workers import Processes as Processes, RayWorkers as RayWorkers, Workers as Workers
