from .answer_limits import (
    AGENT_LIMITS as AGENT_LIMITS,
    SMALL as SMALL,
    UNASKED as UNASKED,
    AnswerLimit as AnswerLimit,
)
from .client import (
    DETAIL_CHARACTERS as DETAIL_CHARACTERS,
    Channel as Channel,
    ChannelClosed as ChannelClosed,
    ExitStatus as ExitStatus,
    WorkerClient as WorkerClient,
)
from .core import make_inputs as make_inputs
from .process import ProcessChannel as ProcessChannel
from .program import WORKER_PROGRAM as WORKER_PROGRAM, sent_sources as sent_sources
from .replies import (
    ProtocolError as ProtocolError,
    parse_block as parse_block,
    parse_clusters as parse_clusters,
    parse_facts as parse_facts,
    parse_line as parse_line,
    parse_number as parse_number,
    parse_state as parse_state,
    parse_text as parse_text,
)
