from .deployment import TaskData as TaskData, deploy as deploy
from .export import export_model as export_model
from .handing_over import (
    SENTENCE_TOKENS as SENTENCE_TOKENS,
    Improvement as Improvement,
    hand_over as hand_over,
)
