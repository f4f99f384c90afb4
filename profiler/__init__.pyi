from .conditions import Conditions as Conditions
from .measurements import (
    Levels as Levels,
    assemble as assemble,
    measurements_as_of as measurements_as_of,
    read_levels as read_levels,
    read_measurements as read_measurements,
)
from .record import (
    BlockRecord as BlockRecord,
    Campaign as Campaign,
    Failure as Failure,
    LoadRecord as LoadRecord,
    block_from_text as block_from_text,
    block_to_text as block_to_text,
)
from .subject import ModelFile as ModelFile, Subject as Subject, parse_subject as parse_subject
