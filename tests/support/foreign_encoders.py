"""Small encoders of other families, with fresh weights and tokenizers of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

_TEXT = [f"Who lit lamp {number}? The keeper waits by the harbour." for number in range(40)]
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def byte_level_tokenizer(*, token_types: bool = False) -> Any:
    """A tokenizer as RoBERTa has it: bytes, two separators, no token types unless asked for."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s>:1 $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=[name for name in names if token_types or name != "token_type_ids"],
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        sep_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def write_encoder(folder: Path, family: str, *, positions: int = 100, **tokenizer: Any) -> str:
    """An encoder of a family of transformers, such as `roberta`, as a folder."""
    if family == "distilbert":
        sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    else:
        sizes = {**_SIZES, "intermediate_size": 16, "embedding_size": 16}
    known = byte_level_tokenizer(**tokenizer)
    config = AutoConfig.for_model(
        family,
        vocab_size=len(known),
        max_position_embeddings=positions,
        pad_token_id=known.pad_token_id,
        **({"type_vocab_size": 1} if family in ("roberta", "camembert") else {}),
        **sizes,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    known.save_pretrained(folder)
    return str(folder)
