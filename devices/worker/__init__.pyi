from .answer_limits import (
    AGENT_LIMITS as AGENT_LIMITS,
    SMALL as SMALL,
    UNASKED as UNASKED,
    AnswerLimit as AnswerLimit,
)
from .client import (
    DETAIL_CHARACTERS as DETAIL_CHARACTERS,
    WORKER_FILE as WORKER_FILE,
    ChannelClosed as ChannelClosed,
    Conversation as Conversation,
    Death as Death,
)
from .process import ProcessLaunch as ProcessLaunch
from .replies import (
    Nonsense as Nonsense,
    parse_block as parse_block,
    parse_clusters as parse_clusters,
    parse_facts as parse_facts,
    parse_line as parse_line,
    parse_number as parse_number,
    parse_state as parse_state,
    parse_text as parse_text,
)
from .worker import (
    ENCODER_KEY as ENCODER_KEY,
    RUNNERS as RUNNERS,
    VOCABULARY_KEY as VOCABULARY_KEY,
    make_inputs as make_inputs,
)
