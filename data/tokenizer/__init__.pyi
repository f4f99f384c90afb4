from .tokenizer_files import (
    find_tokenizer as find_tokenizer,
    find_vocabulary as find_vocabulary,
    read_json_object as read_json_object,
    read_vocabulary as read_vocabulary,
    shown as shown,
    vocabulary_of as vocabulary_of,
)
from .vocabulary import (
    SHIPPED_VOCABULARY as SHIPPED_VOCABULARY,
    SpecialTokens as SpecialTokens,
    Vocabulary as Vocabulary,
    tokenizer_of as tokenizer_of,
)
