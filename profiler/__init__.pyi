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
    Conditions as Conditions,
    Failure as Failure,
    LoadRecord as LoadRecord,
    ModelFile as ModelFile,
    Subject as Subject,
    block_from_text as block_from_text,
    block_to_text as block_to_text,
    parse_subject as parse_subject,
)
