from .corpus import Corpus as Corpus, Text as Text
from .hugging_face import (
    HUGGING_FACE as HUGGING_FACE,
    HuggingFaceText as HuggingFaceText,
    is_saved_dataset as is_saved_dataset,
    open_dataset as open_dataset,
)
from .masking import mask_tokens as mask_tokens
from .packing import MANY_UNKNOWN as MANY_UNKNOWN, check_sequence_length as check_sequence_length
from .preparation import Summary as Summary, prepare as prepare
from .samples import held_out as held_out
from .sentence_pairs import SentencePairs as SentencePairs
from .shards import TokenShards as TokenShards
